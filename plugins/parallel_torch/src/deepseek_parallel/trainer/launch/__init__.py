"""Trains a recipe in worker processes of this machine."""
