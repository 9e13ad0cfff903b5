"""Answers of servers and programs that give keys, read into `Keys`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Final

from deepseek_storage_s3.keys import Keys, KeyTrouble

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


def of_json(text: str | bytes, *, session: str, remedy: str, version: int | None = None) -> Keys:
    """Keys of a JSON object as AWS's servers and programs write it; `session` names the token.

    Raises:
        KeyTrouble: they are not in it, or it says another version.
    """
    try:
        found = json.loads(text)
    except ValueError:
        raise KeyTrouble("its answer is not JSON", remedy=remedy) from None
    if not isinstance(found, dict) or version not in (None, found.get("Version")):
        raise KeyTrouble("its answer has another form", remedy=remedy)
    code = found.get("Code") or found.get("code")
    if isinstance(code, str) and code != "Success" and _CODE.fullmatch(code):
        raise KeyTrouble(f"it answered {code}", remedy=remedy, is_passing=True)
    entries = {name: value for name, value in found.items() if isinstance(value, str)}
    return _keys(entries, session=session, remedy=remedy)


def of_xml(text: str, *, remedy: str) -> Keys:
    """Keys of an answer of STS.

    Raises:
        KeyTrouble: they are not in it.
    """
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    found = {name: re.search(f"<{name}>([^<]{{1,8192}})</{name}>", text) for name in names}
    entries = {name: match[1].strip() for name, match in found.items() if match}
    return _keys(entries, session="SessionToken", remedy=remedy)


def _keys(entries: dict[str, str], *, session: str, remedy: str) -> Keys:
    access_key, secret_key = entries.get("AccessKeyId"), entries.get("SecretAccessKey")
    if not access_key or not secret_key:
        raise KeyTrouble("no keys are in its answer", remedy=remedy)
    return Keys(
        access_key=access_key,
        secret_key=secret_key,
        token=entries.get(session) or None,
        expires_s=_expiry_s(entries.get("Expiration"), remedy=remedy),
    )


def _expiry_s(text: str | None, *, remedy: str) -> float | None:
    """Seconds since the epoch of a time as AWS writes it; None where there is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise KeyTrouble("the time when its keys expire is not a time", remedy=remedy) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
