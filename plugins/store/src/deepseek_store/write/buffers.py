"""The bytes of what a caller hands over, whatever its items are; copies of what may change."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from deepseek_store.errors import NotBytes
from deepseek_store.log.records import Buffer

_FIELD_NAME: Final = re.compile(r":[^:]*:")  # in the format of a structured array
_OBJECT: Final = "O"


def bytes_of(data: Any) -> bytes | memoryview:
    """All bytes of an object with the buffer protocol, in C order; a view where it has one.

    A torch tensor on the CPU gives those of its elements.

    Raises:
        NotBytes: it has no bytes (text, a number, a list, references to objects).
    """
    if type(data) is bytes:
        return data
    view = _view_of(data)
    if _OBJECT in _FIELD_NAME.sub("", view.format):
        raise NotBytes(
            "an array of objects holds references, not bytes",
            remedy="pickle.dumps(data), or give the array a dtype of numbers",
        )
    if view.ndim == 1 and view.format == "B" and view.c_contiguous:
        return view
    if view.c_contiguous:
        with suppress(TypeError):  # of formats that cast() does not know, and shapes with zeros
            return view.cast("B")
    return memoryview(view.tobytes())


def steady(data: Buffer) -> Buffer:
    """The same bytes, which nobody changes while they are hashed and written."""
    owner = data.obj if isinstance(data, memoryview) else data
    return data if isinstance(owner, bytes) else bytes(data)


def _view_of(data: Any) -> memoryview:
    if isinstance(data, str):
        raise NotBytes("text is not bytes until it is encoded", remedy='data.encode("utf-8")')
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        return _view_of_tensor(data, torch)
    try:
        return memoryview(data)
    except (TypeError, ValueError, BufferError) as error:
        kind = type(data).__name__
        raise NotBytes(
            f"{kind} is not bytes, and has none to give: {error}", remedy=_remedy(data)
        ) from error


def _view_of_tensor(tensor: Any, torch: Any) -> memoryview:
    if tensor.device.type != "cpu":
        raise NotBytes(f"a tensor on {tensor.device} has no bytes here", remedy="data.cpu()")
    try:
        plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return memoryview(plain.view(torch.uint8).numpy())
    except (RuntimeError, TypeError, ValueError) as error:
        raise NotBytes(
            f"this tensor has no plain bytes: {str(error).splitlines()[0]}",
            remedy="torch.save(data, file)",
        ) from error


def _remedy(data: Any) -> str:
    many = isinstance(data, io.IOBase | Iterable) and not isinstance(data, dict | list | tuple)
    remedies = (
        (data is None, "give b'' for an object without bytes"),
        (isinstance(data, os.PathLike), 'store.put_stream(key, open(data, "rb"))'),
        (isinstance(data, int), "str(data).encode(); and put_stream takes chunks, not bytes"),
        (hasattr(data, "tobytes"), "data.tobytes()"),
        (hasattr(data, "__array__"), "numpy.asarray(data), or its own way to write a file"),
        (many, "store.put_stream(key, data) takes chunks of bytes"),
        (True, "pickle.dumps(data), json.dumps(data).encode(), or numpy.asarray(data)"),
    )
    return next(remedy for fits, remedy in remedies if fits)
