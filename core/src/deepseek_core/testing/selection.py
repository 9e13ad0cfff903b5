"""The plugin that `--ds-plugin` chose: pytest imports the suite, and passes it nothing."""

from __future__ import annotations

chosen: str | None = None
