"""Clients of obstore for one bucket, one for each pace; without retries of their own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from deepseek_core import errors
from deepseek_storage_s3.keys import KeptKeys
from deepseek_storage_s3.options import Options

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

    from deepseek_storage_s3.tls_relay import Relay

Pace = Literal["short", "download", "upload"]
"""What a time-out has to fit: one of `timeout_s` in all fits no transfer of a large object."""

CONNECT_S: Final = 5.0
LONGER: Final = 20
"""A transfer may take this many times as long as a short request."""


def make(options: Options, keys: KeptKeys | None, relay: Relay | None) -> dict[Pace, S3Store]:
    """A client for each pace, which asks for the keys when it needs them; None: no keys.

    Raises:
        ConfigError: obstore refuses the options.
    """
    certificate = None if options.ca_file is None else _certificates(options.ca_file)
    paces: tuple[Pace, ...] = ("short", "download", "upload")
    return {pace: _make(options, pace, keys, _client(options, pace, certificate, relay), relay)
            for pace in paces}  # fmt: skip


def limit_words(options: Options, pace: Pace, took_s: float) -> str:
    """How long a request of this pace could take that was given up after `took_s`."""
    limit_s = options.timeout_s
    if pace != "short" and took_s >= limit_s * LONGER * 0.99:
        return f"{limit_s * LONGER:g} s ({LONGER} times timeout_s=)"
    return f"{limit_s:g} s (timeout_s=)"


def connect_s(options: Options) -> float:
    """How long a connection may take to be made."""
    return min(options.timeout_s, CONNECT_S)


def _make(
    options: Options, pace: Pace, keys: KeptKeys | None, client: ClientConfig, relay: Relay | None
) -> S3Store:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    endpoint = endpoint_of(options) if relay is None else relay.endpoint
    # All that AWS_* variables would change here is said: obstore reads these itself.
    config: dict[str, Any] = {
        "region": options.region,
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "virtual_hosted_style_request": not options.path_style,
        "copy_if_not_exists": "multipart",
        "conditional_put": "etag",
        "skip_signature": options.anonymous,
    }
    try:
        return S3Store(
            options.bucket,
            client_options=client,
            retry_config={"max_retries": 0},
            credential_provider=keys,
            **config,
        )
    except (BaseError, ValueError):
        raise errors.ConfigError(
            "the S3 client refuses the URL, an AWS_* variable or the file of ca=",
            remedy="leave options away until it is taken; the last one was not",
        ) from None


def _certificates(file: Path) -> str:
    from deepseek_storage_s3 import certificates

    return certificates.read(file)


def _client(
    options: Options, pace: Pace, certificate: str | None, relay: Relay | None
) -> ClientConfig:
    limit_s = options.timeout_s
    is_plain = relay is not None or (options.endpoint or "").startswith("http:")
    found: ClientConfig = {
        "allow_http": is_plain,
        "timeout": timedelta(seconds=limit_s if pace == "short" else limit_s * LONGER),
        "connect_timeout": timedelta(seconds=connect_s(options)),
    }
    if pace == "download":  # a stall; it would count the whole of an upload
        found["read_timeout"] = timedelta(seconds=limit_s)
    if relay is not None:
        found["proxy_url"] = relay.proxy_url
    elif certificate is not None:
        found["root_certificate"] = certificate
    return found


def endpoint_of(options: Options) -> str:
    """Where requests go; with the bucket's name in the host where the style is so."""
    end = ".cn" if options.region.startswith("cn-") else ""
    endpoint = options.endpoint or f"https://s3.{options.region}.amazonaws.com{end}"
    if options.path_style:
        return endpoint
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{options.bucket}.{host}"
