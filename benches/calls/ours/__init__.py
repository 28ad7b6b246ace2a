"""The same work by ringbus."""
