"""`ds-sdk train`: plans of a training."""
