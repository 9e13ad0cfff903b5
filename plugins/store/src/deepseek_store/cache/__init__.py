"""Shards in memory: who stays, who goes, and the bytes themselves."""
