"""The log: self-describing records in segments, and how they reach the disk."""
