"""Structural pruning: trace, plan, certify, apply to a copy, verify."""
