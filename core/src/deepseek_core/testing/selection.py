"""What options of pytest chose: it imports the suite, and passes it nothing."""

from __future__ import annotations

chosen: str | None = None
"""The plugin of `--ds-plugin`."""

facts: str | None = None
"""The file of `--ds-facts`: what one process of a check has seen, the others know from it."""
