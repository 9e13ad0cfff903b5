"""URLs as they may be shown."""

from __future__ import annotations

import re
from typing import Final

_USER: Final = re.compile(r"(?P<scheme>[A-Za-z0-9+.-]+)://(?P<user>[^/?#\s]*)@")


def without_password(text: str) -> str:
    """A URL, or a text that holds some, without the names and passwords before their hosts.

    The name alone stays where it is no secret and the address is none without it, as in
    `ssh://git@host`.
    """
    return _USER.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    scheme, user = found["scheme"], found["user"]
    is_plain = scheme.endswith("ssh") and ":" not in user
    return f"{scheme}://{user}@" if is_plain else f"{scheme}://"
