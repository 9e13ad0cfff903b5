"""Which keys a store takes."""

from __future__ import annotations

from typing import Final

from deepseek_store.errors import KeyRefused

LONGEST_NBYTES: Final = 4096


def check_key(key: str) -> str:
    """The key itself: relative, `/`-separated UTF-8 of at most 4,096 bytes.

    Raises:
        KeyRefused: it is empty, absolute or too long, has an empty part, `.` or `..`, or holds what
            is not text (a NUL, half a surrogate pair).
    """
    if not isinstance(key, str) or not key:
        raise KeyRefused(f"{key!r} is not a key", remedy="give a text such as 'runs/7/model.onnx'")
    try:
        nbytes = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError as error:
        raise KeyRefused(
            f"key {key!r} is no Unicode text", remedy="decode it before, or escape it"
        ) from error
    if nbytes > LONGEST_NBYTES:
        raise KeyRefused(
            f"a key of {nbytes} bytes, starting {key[:40]!r}, is too long",
            remedy=f"use at most {LONGEST_NBYTES} bytes of UTF-8",
        )
    # The common case in two searches; splitting every key would cost more than the rest.
    if key[0] == "/" or key[-1] == "/" or "//" in key or "\0" in key or _dotted(key):
        raise KeyRefused(
            f"{key[:80]!r} is not a key",
            remedy="use parts separated by single slashes, none of them '.' or '..'",
        )
    return key


def _dotted(key: str) -> bool:
    return "." in key and any(part in (".", "..") for part in key.split("/"))
