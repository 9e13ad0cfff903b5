"""Origins of distributions, as installers record them in `direct_url.json` (PEP 610)."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from deepseek_core.contracts.urls import without_password
from deepseek_core.discovery.distributions import Distribution


@attrs.frozen(kw_only=True)
class Origin:
    """The address of a distribution, and whether it is an editable install.

    `vcs` is the system that has it, as `git`, with the `revision` that was asked for, the `commit`
    that it was then, and the `folder` in it; empty where there is none.
    """

    url: str
    editable: bool = False
    vcs: str = ""
    revision: str = ""
    commit: str = ""
    folder: str = ""

    @property
    def path(self) -> Path | None:
        """The file or folder on this machine that the address names."""
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(self.url)
        is_local = parts.scheme == "file" and parts.netloc in ("", "localhost")
        return Path(unquote(parts.path)) if is_local else None

    def requirement(self, name: str) -> str:
        """What pip is told to install it from there, without a password; local: the path."""
        return str(self.path) if self.path is not None else self._address(name, self.revision)

    def pinned(self, name: str) -> str:
        """What pip is told to install the same again: of a repository the same commit."""
        return self._address(name, self.commit or self.revision)

    def _address(self, name: str, revision: str) -> str:
        at = f"@{revision}" if revision else ""
        below = f"#subdirectory={self.folder}" if self.folder else ""
        kind = f"{self.vcs}+" if self.vcs else ""
        return f"{name} @ {kind}{without_password(self.url)}{at}{below}"


def origin_of(dist: Distribution) -> Origin | None:
    """Read where a distribution came from; None for an index, or if the record is damaged."""
    try:
        noted = json.loads(dist.read("direct_url.json") or "{}")
        editable = bool(noted.get("dir_info", {}).get("editable", False))
        vcs = noted.get("vcs_info", {})
        origin = Origin(
            url=noted["url"],
            editable=editable,
            vcs=str(vcs.get("vcs", "")),
            revision=str(vcs.get("requested_revision", "")),
            commit=str(vcs.get("commit_id", "")),
            folder=str(noted.get("subdirectory", "")),
        )
        return origin if isinstance(noted["url"], str) and origin.path != Path() else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
