"""Recipes: a training as a TOML file."""
