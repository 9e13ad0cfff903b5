"""Origins of distributions, as installers record them in `direct_url.json` (PEP 610)."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from deepseek_core.discovery.distributions import Distribution


@attrs.frozen(kw_only=True)
class Origin:
    """The address of a distribution, and whether it is an editable install.

    `vcs` is the system that has it, as `git`, with the `revision` that was asked for, and the
    `folder` in it; empty where there is none.
    """

    url: str
    editable: bool = False
    vcs: str = ""
    revision: str = ""
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
        if self.path is not None:
            return str(self.path)
        at = f"@{self.revision}" if self.revision else ""
        below = f"#subdirectory={self.folder}" if self.folder else ""
        kind = f"{self.vcs}+" if self.vcs else ""
        return f"{name} @ {kind}{_without_password(self.url)}{at}{below}"


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    user, mark, host = parts.netloc.rpartition("@")
    is_plain = ":" not in user and parts.scheme == "ssh"  # as in ssh://git@host
    return urlunsplit(parts._replace(netloc=f"{user}{mark}{host}" if is_plain else host))


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
            folder=str(noted.get("subdirectory", "")),
        )
        return origin if isinstance(noted["url"], str) and origin.path != Path() else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
