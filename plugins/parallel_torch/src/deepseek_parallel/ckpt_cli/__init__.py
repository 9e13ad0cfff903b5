"""`ds-sdk ckpt`: checkpoints of a training."""
