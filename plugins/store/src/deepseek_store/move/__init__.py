"""Moves between tiers: packs stripes, frees space."""
