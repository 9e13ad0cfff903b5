"""Programs of torch.export: read without torch and without pickle, run as modules on a GPU."""
