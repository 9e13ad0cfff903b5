"""The way of a write: key, records, group commit, index."""
