"""Messages of a parameter server and its workers: a head and its content, over TCP.

The content is weights or a gradient (float32, little-endian), or text.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import attrs

JOIN, GRADIENT, LEAVE, FAILED = 1, 2, 3, 4
"""Of a worker: it begins (text); a gradient; it leaves; its code has raised (text)."""
WEIGHTS, WAIT, OVER, REFUSED = 5, 6, 7, 8
"""Of the server: weights and a batch; it is still there; no batch is left; an error (text)."""
_TEXTS: Final = (JOIN, FAILED, REFUSED)
_FULL: Final = (GRADIENT, WEIGHTS)
MOST_TEXT_NBYTES: Final = 1 << 14
_MAGIC: Final = b"DSP1"
_HEAD: Final = struct.Struct("<4sBxxxqqQ")
HEAD_NBYTES: Final = _HEAD.size


class BadFrame(ValueError):
    """Bytes that are no message of a server or worker of this model."""


@attrs.frozen
class Head:
    """What comes, of which version of the weights and which batch, and how many bytes follow."""

    kind: int
    version: int = 0
    batch: int = 0
    nbytes: int = 0

    def packed(self) -> bytes:
        """Give it as bytes."""
        return _HEAD.pack(_MAGIC, self.kind, self.version, self.batch, self.nbytes)

    @classmethod
    def read(cls, data: bytes | bytearray | memoryview, full_nbytes: int) -> Head:
        """A head of its bytes; `full_nbytes` are those of all weights.

        Raises:
            BadFrame: it is none, or what follows has not the size that it must have.
        """
        magic, kind, version, batch, nbytes = _HEAD.unpack(data)
        fits = (
            nbytes == full_nbytes
            if kind in _FULL
            else nbytes <= (MOST_TEXT_NBYTES if kind in _TEXTS else 0)
        )
        if magic != _MAGIC or not JOIN <= kind <= REFUSED or not fits:
            raise BadFrame("no message of this training")
        return cls(kind, version, batch, nbytes)


def text(what: int, **fields: Any) -> bytes:
    """A whole message with text; a long one is cut."""
    content = json.dumps({k: v[:2000] if isinstance(v, str) else v for k, v in fields.items()})
    data = content.encode()
    return Head(what, nbytes=len(data)).packed() + data


def fields(content: bytes | bytearray) -> dict[str, Any]:
    """What a text holds.

    Raises:
        BadFrame: it is no object of JSON.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFrame("a text is not JSON") from error
    if not isinstance(found, dict):
        raise BadFrame("a text holds no fields")
    return found
