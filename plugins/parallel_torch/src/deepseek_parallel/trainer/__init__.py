"""The trainer: a plain module, a loss and a dataset, on any number of ranks."""
