"""Steady-state placement: which device runs which stages of a stream for the highest rate."""
