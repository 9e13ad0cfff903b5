"""The region that a bucket is in, as Amazon's servers tell it to whoever asks in the wrong one."""

from __future__ import annotations

import http.client
import re
from typing import Final
from urllib.parse import urlsplit

from deepseek_core import errors
from deepseek_storage_s3 import certificates
from deepseek_storage_s3.options import Options

_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
_LIMIT_S: Final = 5.0


def look_up(options: Options) -> str:
    """The region in the head of an answer, which needs no keys; empty if there is none."""
    parts = urlsplit(options.endpoint or f"https://s3.{options.region}.amazonaws.com")
    try:
        connection = _connect(parts.scheme, parts.netloc, options)
        try:
            connection.request("HEAD", f"/{options.bucket}")
            region = connection.getresponse().headers.get("x-amz-bucket-region", "")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, errors.ConfigError):
        return ""
    return region if _REGION.fullmatch(region) and region != options.region else ""


def _connect(scheme: str, place: str, options: Options) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(place, timeout=_LIMIT_S)
    context = certificates.context(options.ca_file)
    return http.client.HTTPSConnection(place, timeout=_LIMIT_S, context=context)
