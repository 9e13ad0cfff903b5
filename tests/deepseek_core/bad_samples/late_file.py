"""A factory's module that writes a file when it is loaded."""

from pathlib import Path

from bad_samples.tiers import Sound

Path("late.log").write_text("loaded")

__all__ = ["Sound"]
