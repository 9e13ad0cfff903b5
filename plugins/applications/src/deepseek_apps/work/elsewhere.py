"""Data at a URL of fsspec, such as `ds://` or `s3://`: copied to this disk to be prepared."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

from deepseek_core import console, errors

_FETCHED: Final = "fetched"
_MARK: Final = "://"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LIBRARIES: Final = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs",
    "http": "aiohttp requests", "https": "aiohttp requests",
    "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol",
}  # fmt: skip

Progress = Callable[[int, int, str], None]


def is_url(data: str) -> bool:
    """Whether data are named by a URL, not by a path."""
    return _MARK in data


def told(url: str) -> str:
    """The URL without a name and password that it may hold."""
    scheme, mark, rest = url.partition(_MARK)
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def fetched(url: str, folder: Path, progress: Progress) -> Path:
    """Copy a file, or all files below a folder, to `folder`/fetched; gives the copy, named alike.

    Raises:
        ConfigError: fsspec knows no such scheme, or a library is missing for it.
        InputError: nothing lies there, it can't be read, or a file arrived with another size.
        WriteError: the copy can't be written.
    """  # fmt: skip
    system, root = _opened(url)
    copy = folder / _FETCHED / (PurePosixPath(root).name or "data")
    try:
        sizes = _listed(system, root)
        if not sizes:
            raise errors.InputError(f"nothing lies at {told(url)}", remedy="check --data")
        files = {name: _below(copy, root, name) for name in sizes}
        for parent in {path.parent for path in files.values()}:
            parent.mkdir(parents=True, exist_ok=True)
        system.get(list(files), list(map(str, files.values())), callback=_heard(url, progress))
    except errors.DeepSeekError:
        raise
    except Exception as error:  # each filesystem has errors of its own
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise errors.WriteError(
                f"{folder} has no space for {told(url)}",
                remedy="free space, or choose another folder",
            ) from error
        raise _unread(url, error) from error
    for name, path in files.items():
        _check_arrived(url, name, sizes[name], path)
    return copy


def _opened(url: str) -> tuple[Any, str]:
    """The filesystem of a URL, and the path in it; some connect here."""
    try:
        from fsspec.core import url_to_fs

        system, root = url_to_fs(url)
    except errors.DeepSeekError:
        raise
    except ImportError as error:
        raise errors.ConfigError(
            f"{told(url)} can't be opened here: {error}", remedy=_install(url) or "install fsspec"
        ) from error
    except ValueError as error:
        raise errors.ConfigError(
            f"{told(url)} is not a URL that fsspec opens: {error}",
            remedy=_install(url)
            or "give a file or a folder, or a URL such as ds://parts or s3://bucket/parts",
        ) from error
    except Exception as error:
        raise _unread(url, error) from error
    return system, str(root).rstrip("/")


def _install(url: str) -> str | None:
    """The command that brings what opens URLs of that scheme, if it is known."""
    scheme = url.partition(_MARK)[0]
    if scheme == "ds":
        return console.install_command("deepseek-store")
    return f"pip install {_LIBRARIES[scheme]}" if scheme in _LIBRARIES else None


def _unread(url: str, error: Exception) -> errors.InputError:
    return errors.InputError(
        f"{told(url)} can't be read: {type(error).__name__}: {error}",
        remedy="see to the address, the permissions and the connection",
    )


def _listed(system: Any, root: str) -> dict[str, int]:
    """Bytes of each file, by its path; of one file, or of all below a folder."""
    found = system.find(root, detail=True)
    return {str(name): int(info["size"] or 0) for name, info in sorted(found.items())}


def _below(copy: Path, root: str, name: str) -> Path:
    """Where a file's copy goes: inside, whatever its name says."""
    inside = PurePosixPath(name[len(root) :].lstrip("/"))
    if ".." in inside.parts or "\0" in name:
        raise errors.InputError(f"a file is called {name!r}", remedy="give it another name")
    return copy / inside


def _heard(url: str, progress: Progress) -> Any:
    """What passes on that files have arrived."""
    from fsspec.callbacks import Callback

    def tell(size: int | None, value: int, **_: Any) -> None:
        progress(value, max(size or 0, value), f"copying {told(url)}")

    return Callback(hooks={"progress": tell})


def _check_arrived(url: str, name: str, nbytes: int, path: Path) -> None:
    arrived = path.stat().st_size if path.is_file() else 0
    if arrived != nbytes:
        raise errors.InputError(
            f"{name} at {told(url)} has {nbytes} bytes, of which {arrived} arrived",
            remedy="run it again; where it stays so, that file is damaged",
        )
