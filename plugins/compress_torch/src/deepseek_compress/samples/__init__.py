"""Data sets: what users return as one, checked where it comes in, as samples of the contract."""
