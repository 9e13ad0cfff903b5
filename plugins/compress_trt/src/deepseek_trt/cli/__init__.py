"""The command `ds-sdk trt`."""
