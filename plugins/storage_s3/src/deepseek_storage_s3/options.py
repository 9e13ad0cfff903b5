"""What a URL of the scheme `s3` says: a bucket, a prefix, and options after a question mark.

Secrets are named there, never written: `secret_key=env:VARIABLE` or `secret_key=file:PATH`. No
error repeats a value of the URL, since it may be a secret that stands where it should not. What the
URL leaves open is as the variables and profiles of AWS tools have it.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from deepseek_core import Secret, Tier, errors
from deepseek_storage_s3 import profiles, usual

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_REGION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?", re.IGNORECASE)
_SCALES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MOST_PART_NBYTES: Final = 5 << 30  # of one PUT, as S3 has it
_AMAZON_NINES: Final = 11.0  # "99.999999999 % durability", Amazon S3 user guide


@attrs.frozen(kw_only=True)
class Options:
    """A place in a bucket, how to reach it, and how long to try."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    anonymous: bool = False
    path_style: bool = False
    ca_file: Path | None = None
    domains: tuple[str, ...] = ()
    nines: float | None = None
    latency_s: float = 0.03
    bytes_per_s: float = 8e7
    probe: bool = False
    timeout_s: float = 30.0
    retries: int = 4
    give_up_s: float = 60.0
    multipart_nbytes: int = 128 << 20
    verify: bool = True


def parse(url: str) -> Options:
    """The options of a URL, and of the variables and the profile of AWS tools what it leaves open.

    Raises:
        ConfigError: no bucket, an unknown option, a value that does not fit, a secret in words.
    """
    place, _, query = url.partition("?")
    bucket, prefix = _place(place)
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        field, read, expected = _option(name)
        if field in found:
            raise errors.ConfigError(f"an s3: URL gives {name}= twice", remedy="give it once")
        found[field] = _read(read, value, f"{name}= of an s3: URL", expected)
    _check_keys(found)
    found = {**_usual(found), **found}
    found.setdefault("path_style", "endpoint" in found)
    if "nines" not in found and _is_amazon(found.get("endpoint")):
        found["nines"] = _AMAZON_NINES
    return Options(bucket=bucket, prefix=prefix, **found)


def _usual(given: dict[str, Any]) -> dict[str, Any]:
    """What is not given, from outside the URL."""
    found: dict[str, Any] = {}
    profile = profiles.load(given.get("profile"), os.environ)
    for name, value, where in usual.settings(profile, os.environ):
        field, read, expected = _OPTIONS[name]
        if field not in given and field not in found:
            found[field] = _read(read, value, where, expected)
    return found


def _read(read: Any, value: str, where: str, expected: str) -> Any:
    try:
        return read(value)
    except (ValueError, KeyError, OverflowError):
        raise errors.ConfigError(f"{where} does not fit", remedy=f"write {expected}") from None


def _place(place: str) -> tuple[str, str]:
    scheme, _, rest = place.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = unquote(prefix).removesuffix("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket):
        raise errors.ConfigError(
            "an s3: URL begins with s3://bucket",
            remedy="write s3://bucket/prefix?endpoint=... with a bucket's name and no keys in it",
        )
    if prefix:
        try:
            Tier.check_key(prefix)
        except errors.InputError as error:
            raise errors.ConfigError(f"the prefix of an s3: URL: {error}") from None
    return bucket, prefix


def _check_keys(found: dict[str, Any]) -> None:
    given = {"access_key", "secret_key"} & set(found)
    if len(given) == 1:
        missing = "secret_key" if "access_key" in given else "access_key"
        raise errors.ConfigError(
            f"an s3: URL names no {missing}", remedy=f"add {missing}=env:VARIABLE"
        )
    given |= {"session_token"} & set(found)
    if given and "profile" in found:
        raise errors.ConfigError(
            "an s3: URL names keys and a profile", remedy="leave one of both away"
        )


def _option(name: str) -> tuple[str, Any, str]:
    if name not in _OPTIONS:
        close = difflib.get_close_matches(name, _OPTIONS, 1)
        remedy = f"did you mean {close[0]}?" if close else f"options: {', '.join(_OPTIONS)}"
        raise errors.ConfigError("an s3: URL has an option that is not known", remedy=remedy)
    return _OPTIONS[name]


def _secret(text: str) -> Secret:
    kind, _, name = text.partition(":")
    if kind == "env" and name:
        return Secret(env=name)
    if kind == "file" and name:
        return Secret(file=Path(name).expanduser())
    raise ValueError


def _endpoint(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError
    port = "" if parts.port is None else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def _is_amazon(endpoint: str | None) -> bool:
    host = urlsplit(endpoint or "https://s3.amazonaws.com").hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError
    return text


def _flag(text: str) -> bool:
    return {"1": True, "0": False, "true": True, "false": False}[text.lower()]


def _positive(text: str, *, scale: float = 1.0) -> float:
    value = float(text) * scale
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 100:
        raise ValueError
    return int(text)


def _part_nbytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError
    return max(5 << 20, min(_MOST_PART_NBYTES, int(float(match[1]) * _SCALES[match[2].lower()])))


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError
    return text


_NAMED: Final = "env:VARIABLE or file:PATH: a secret is named, never written there"
# name in the URL -> field, reader, what to write
_OPTIONS: Final[dict[str, tuple[str, Any, str]]] = {
    "endpoint": ("endpoint", _endpoint, "http(s)://host:port, no path and no keys"),
    "region": ("region", _region, "a region: eu-central-1"),
    "access_key": ("access_key", _secret, _NAMED),
    "secret_key": ("secret_key", _secret, _NAMED),
    "session_token": ("session_token", _secret, _NAMED),
    "profile": ("profile", _name, "the name of a profile of AWS tools"),
    "anonymous": ("anonymous", _flag, "1 or 0"),
    "path_style": ("path_style", _flag, "1 or 0"),
    "ca": ("ca_file", _path, "the path of a PEM file"),
    "domains": ("domains", Tier.read_domains, "a number (1 to 1000) or different names: a,b,c"),
    "nines": ("nines", _positive, "the nines of annual durability that the provider promises"),
    "latency_ms": ("latency_s", lambda t: _positive(t, scale=1e-3), "milliseconds above 0"),
    "mb_per_s": ("bytes_per_s", lambda t: _positive(t, scale=1e6), "a number above 0"),
    "probe": ("probe", _flag, "1 or 0"),
    "timeout_s": ("timeout_s", _positive, "seconds above 0"),
    "retries": ("retries", _count, "0 to 100"),
    "give_up_s": ("give_up_s", _positive, "seconds above 0"),
    "multipart": ("multipart_nbytes", _part_nbytes, "bytes from 5M to 5G"),
    "verify": ("verify", _flag, "1 or 0"),
}
