"""Origins of distributions, as installers record them in `direct_url.json` (PEP 610)."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from deepseek_core.discovery.distributions import Distribution


@attrs.frozen(kw_only=True)
class Origin:
    """The address of a distribution, and whether it is an editable install."""

    url: str
    editable: bool = False

    @property
    def path(self) -> Path | None:
        """The file or folder on this machine that the address names."""
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(self.url)
        is_local = parts.scheme == "file" and parts.netloc in ("", "localhost")
        return Path(unquote(parts.path)) if is_local else None


def origin_of(dist: Distribution) -> Origin | None:
    """Read where a distribution came from; None for an index, or if the record is damaged."""
    try:
        noted = json.loads(dist.read("direct_url.json") or "{}")
        editable = bool(noted.get("dir_info", {}).get("editable", False))
        origin = Origin(url=noted["url"], editable=editable)
        return origin if isinstance(noted["url"], str) and origin.path != Path() else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
