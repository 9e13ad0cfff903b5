"""What tests and tools put in place of what a home names: its tiers, its log, its index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from deepseek_core import Tier
from deepseek_store.index.base import Index
from deepseek_store.log.disk import Disk


@attrs.frozen(kw_only=True)
class Seams:
    """None: what the home names. `tiers` opens the tier of a URL."""

    tiers: Callable[[str], Tier] | None = None
    disk: Disk | None = None
    index: Index | None = None


NO_SEAMS: Final = Seams()
