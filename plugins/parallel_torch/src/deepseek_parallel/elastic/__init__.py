"""Ranks that come and go while a training runs."""
