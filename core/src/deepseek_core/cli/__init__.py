"""`ds-sdk`: parse, call one function, print."""

from deepseek_core.cli.main import main

__all__ = ["main"]
