"""The command `ds-sdk store`."""
