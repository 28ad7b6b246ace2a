"""What ringbus is measured against, each written as well as it can be."""
