"""Opens URLs of fsspec; what fails is told with what to do, and without a password."""

from __future__ import annotations

from typing import Any, Final

from deepseek_core.contracts.errors import ConfigError, DeepSeekError, InputError
from deepseek_core.contracts.urls import without_password
from deepseek_core.discovery.installing import install_command

_LIBRARIES: Final = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs",
    "http": "aiohttp requests", "https": "aiohttp requests",
    "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol",
}  # fmt: skip


def open_url(url: str, **options: Any) -> tuple[Any, str]:
    """The file system of a URL or path as fsspec has it, and the path in it.

    Raises:
        ConfigError: fsspec knows no such scheme, or a library is missing for it.
        InputError: it connects at once, and nobody answers.
    """
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url, **options)
    except DeepSeekError:
        raise
    except ImportError as error:
        raise ConfigError(
            f"{without_password(url)} can't be opened here: {error}",
            remedy=_install(url, error.name),
        ) from error
    except ValueError as error:
        raise ConfigError(
            without_password(f"{url} is not a URL that fsspec opens: {error}"),
            remedy=_brings(url)
            or "give a file or a folder, or a URL such as ds://KEY or s3://BUCKET/KEY",
        ) from error
    except Exception as error:  # some connect at once, and each has errors of its own
        raise InputError(
            without_password(f"{url} can't be opened: {type(error).__name__}: {error}"),
            remedy="see to the address, the permissions and the connection",
        ) from error
    return system, str(path).rstrip("/")


def _install(url: str, missing: str | None) -> str:
    """The command that brings the library whose import failed."""
    if missing == "fsspec":
        return "pip install fsspec"
    return _brings(url) or "install the library that it names"


def _brings(url: str) -> str | None:
    """The command that brings what opens URLs of that scheme, if it is known."""
    scheme = url.partition("://")[0]
    if scheme == "ds":
        return install_command("deepseek-store")
    return f"pip install {_LIBRARIES[scheme]}" if scheme in _LIBRARIES else None
