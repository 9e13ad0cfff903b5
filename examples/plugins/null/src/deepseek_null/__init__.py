"""A device that does nothing: to learn from and to test with."""
