"""Recipes: read, checked as a chain, planned, run, resumed."""
