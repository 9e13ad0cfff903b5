"""Microbatches that follow the measured speed of each rank; pure, without a clock."""
