"""Ranges of a model's tensors: calibrated or learned, checked, and what each layer loses."""
