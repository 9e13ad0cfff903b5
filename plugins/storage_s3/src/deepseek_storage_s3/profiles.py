"""Profiles of AWS tools: what ~/.aws/credentials and ~/.aws/config say under one name.

The files, their variables and which of both wins are those of the AWS command line and SDKs:
https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import errors

_FILES: Final = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
_LARGEST: Final = 1 << 20


@attrs.frozen(kw_only=True)
class Profile:
    """What both files say of a profile; never shown, since secrets are among it."""

    name: str
    is_asked_for: bool = False
    """By `profile=` in a URL: then keys in variables are left alone."""
    credentials: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    config: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    s3_endpoint: str | None = attrs.field(default=None, repr=False)
    """`endpoint_url` of S3 in the section `[services ...]` that it names."""

    def get(self, name: str) -> str | None:
        """A setting, of the credentials' file first."""
        return self.credentials.get(name) or self.config.get(name) or None


def load(asked: str | None, environ: Mapping[str, str]) -> Profile:
    """The profile of a URL, of AWS_PROFILE, or the one called default, which may be empty.

    Raises:
        ConfigError: a file is no such file, or a profile that is named is in none of them.
    """
    name = asked or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    credentials, config = (_sections(variable, environ) for variable in _FILES)
    in_config = config.get("default" if name == "default" else f"profile {name}")
    if in_config is None and name == "default":
        in_config = config.get("profile default")
    in_credentials = credentials.get(name)
    if in_config is None and in_credentials is None and name != "default":
        files = " and ".join(str(_path(variable, environ)) for variable in _FILES)
        told = "of the name that profile= gives" if asked else repr(name[:100])
        raise errors.ConfigError(
            f"there is no AWS profile {told} in {files}",
            remedy="set AWS_PROFILE or profile= to one that is there, or add it: aws configure",
        )
    found = in_config or {}
    services = config.get(f"services {found.get('services', '')}") or {}
    return Profile(
        name=name,
        is_asked_for=asked is not None,
        credentials=in_credentials or {},
        config=found,
        s3_endpoint=_nested(services.get("s3", "")).get("endpoint_url"),
    )


def _path(variable: str, environ: Mapping[str, str]) -> Path:
    return Path(environ.get(variable) or _FILES[variable]).expanduser()


def _sections(variable: str, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The sections of a file, `[profile "a b"]` and `[profile a b]` under one name."""
    path = _path(variable, environ)
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        with path.open(encoding="utf-8-sig") as file:
            parser.read_string(file.read(_LARGEST))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise errors.ConfigError(
            f"{path}: {error.strerror}", remedy=f"make it readable, or set {variable}"
        ) from None
    except (configparser.Error, UnicodeDecodeError):
        # The parser's own words repeat the line, which may hold a secret.
        raise errors.ConfigError(
            f"{path} is not a file of AWS profiles", remedy="write it as aws configure does"
        ) from None
    return {_title(title): dict(parser[title]) for title in parser.sections()}


def _title(title: str) -> str:
    try:
        return " ".join(shlex.split(title))
    except ValueError:
        return title


def _nested(text: str) -> dict[str, str]:
    """The indented lines below a setting, as `s3 =` has them."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
