"""Nouns that every other room speaks in."""
