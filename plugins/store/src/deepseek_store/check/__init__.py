"""Checks and heals: fsck, scrub, repair, rebuild, explain."""
