"""What an S3 URL does not say: as the variables and profiles of AWS tools have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from deepseek_storage_s3.profiles import Profile

_REGION: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_ENDPOINT: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_TRUE: Final = ("1", "true")


def settings(profile: Profile, environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Options by name, their texts, and where these stand; the first of a name counts."""
    yield from _of_variables("region", _REGION, environ)
    yield from _of_profile("region", "region", profile)
    if not is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", environ):
        yield from _of_variables("endpoint", _ENDPOINT, environ)
        if profile.s3_endpoint:
            yield "endpoint", profile.s3_endpoint, f"services of profile {profile.name}"
        yield from _of_profile("endpoint", "endpoint_url", profile)
    yield from _of_variables("ca", ("AWS_CA_BUNDLE",), environ)
    yield from _of_profile("ca", "ca_bundle", profile)


def is_true(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a variable of AWS says yes."""
    return environ.get(name, "").strip().lower() in _TRUE


def _of_variables(
    option: str, names: tuple[str, ...], environ: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    for name in names:
        if environ.get(name):
            yield option, environ[name], name


def _of_profile(option: str, name: str, profile: Profile) -> Iterator[tuple[str, str, str]]:
    if text := profile.get(name):
        yield option, text, f"{name} of profile {profile.name}"
