"""The benchmark suite: scenarios, the runner, the record, and what is made of it."""
