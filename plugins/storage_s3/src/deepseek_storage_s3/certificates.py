"""Certificates of servers: those that `ca=` adds to the system's, checked as curl checks them."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

from deepseek_core import errors

_BLOCK: Final = re.compile(
    "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)
_LARGEST: Final = 16 << 20


def read(file: Path) -> str:
    """The certificates of a PEM file, without whatever stands between them, such as keys.

    Raises:
        ConfigError: it can't be read, or holds none.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(_LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise errors.ConfigError(
            f"{file} (ca=): {error.strerror}", remedy="give the path of a PEM file"
        ) from None
    found = "\n".join(_BLOCK.findall(text)) + "\n"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError):
        raise errors.ConfigError(
            f"{file} (ca=) holds no certificate in PEM form",
            remedy="give a PEM file, with -----BEGIN CERTIFICATE----- in it; to make one of a "
            "DER file: openssl x509 -inform der -in FILE -out FILE.pem",
        ) from None
    return found


def context(file: Path | None) -> ssl.SSLContext:
    """OpenSSL's check of a server: the system's authorities and those of the file, as curl does.

    Raises:
        ConfigError: the file holds none.
    """
    made = ssl.create_default_context()
    if file is not None:
        made.load_verify_locations(cadata=read(file))
        # A server's own certificate may be trusted itself, whoever signed it.
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made
