"""Moves between tiers: packs stripes, frees room."""
