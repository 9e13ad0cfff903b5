"""Nouns that all other packages use."""
