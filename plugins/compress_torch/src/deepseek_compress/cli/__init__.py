"""The command `ds-sdk compress`."""
