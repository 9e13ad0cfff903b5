"""Puts vectors into the order that the kernel streams them in.

Legend: B queries, N gallery rows, D elements a row, S steps (words a row), R rows a tile, L lanes
a panel. Queries go to [tiles, S, R], the gallery to [panels, S, L]; both are padded with zeros.

    format  query word                 gallery word             elements a word
    f32     float32                    float32                  1
    i8      float32 (exact)            int8                     1
    i8x4    4 x int8 in an int32       4 x (int8 + 128), uint8  4
    bits    uint32 of packed bits      the same                 4 bytes
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepseek_fpga.variants import Metric, Variant, WordFormat

Array = NDArray[Any]

DTYPES: dict[Metric, type[np.generic]] = {
    "l2_f32": np.float32,
    "l2_i8": np.int8,
    "hamming": np.uint8,
}
_QUERY_WORDS: dict[WordFormat, type[np.generic]] = {
    "f32": np.float32,
    "i8": np.float32,
    "i8x4": np.int32,
    "bits": np.uint32,
}
_GALLERY_WORDS: dict[WordFormat, type[np.generic]] = {**_QUERY_WORDS, "i8": np.int8}
_WORST: dict[Metric, np.generic] = {  # WORST of matcher.cl
    "l2_f32": np.float32(np.finfo(np.float32).max),
    "l2_i8": np.int32(np.iinfo(np.int32).max),
    "hamming": np.int32(1 << 30),
}
_BLOCK_ROWS = 1 << 14  # rows packed at a time: bounds the extra memory


def query_dtype(words: WordFormat) -> np.dtype[np.generic]:
    """Dtype of one query word on the device."""
    return np.dtype(_QUERY_WORDS[words])


def gallery_dtype(words: WordFormat) -> np.dtype[np.generic]:
    """Dtype of one gallery word on the device."""
    return np.dtype(_GALLERY_WORDS[words])


def steps_of(words: WordFormat, dim: int) -> int:
    """Words in a row of `dim` elements."""
    return -(-dim // 4) if words in ("i8x4", "bits") else dim


def query_words(words: WordFormat, rows: Array) -> Array:
    """Rows [n, D] as query words [n, S]."""
    if words in ("i8x4", "bits"):
        return _fours(rows).view(_QUERY_WORDS[words])
    return rows.astype(np.float32, copy=False)


def gallery_words(words: WordFormat, rows: Array) -> Array:
    """Rows [n, D] as gallery words [n, S]."""
    if words == "i8x4":
        return (_fours(rows).view(np.uint8) ^ np.uint8(0x80)).view(np.int32)
    return _fours(rows).view(np.uint32) if words == "bits" else rows


def pack(words: Array, width: int, out: Array) -> None:
    """Write words [n, S] to `out` [groups, S, width]; rows past n become zeros."""
    full, rest = divmod(len(words), width)
    out[:full] = words[: full * width].reshape(full, width, words.shape[1]).transpose(0, 2, 1)
    if rest:
        out[full, :, :rest] = words[full * width :].T
        out[full, :, rest:] = 0


def packed_gallery(variant: Variant, gallery: Array) -> Iterator[Array]:
    """Yield the packed gallery in blocks [panels, S, L], in order."""
    lanes = variant.lanes
    for first in range(0, len(gallery), _BLOCK_ROWS):
        words = gallery_words(variant.words, gallery[first : first + _BLOCK_ROWS])
        out = np.empty((-(-len(words) // lanes), words.shape[1], lanes), words.dtype)
        pack(words, lanes, out)
        yield out


def gallery_bias(variant: Variant, gallery: Array) -> Array:
    """What each gallery row adds to its score [panels * L]; padding never wins."""
    padded = -(-len(gallery) // variant.lanes) * variant.lanes
    worst = _WORST[variant.metric]
    bias = np.full(padded, worst, worst.dtype)
    bias[: len(gallery)] = 0 if variant.metric == "hamming" else squared_norms(gallery)
    return bias


def squared_norms(rows: Array) -> Array:
    """Squared lengths of rows [n, D]: float32 of float rows, exact int32 of int8 rows."""
    if rows.dtype == np.int8:
        wide = rows.astype(np.float32)  # products and 1024-element sums are exact in float32
        parts = [
            np.einsum("ij,ij->i", p, p) for p in np.split(wide, range(1024, rows.shape[1], 1024), 1)
        ]
        return np.asarray(sum(part.astype(np.int32) for part in parts))
    norms: Array = np.einsum("ij,ij->i", rows, rows)
    return norms


def query_offset(variant: Variant, queries: Array) -> Array | None:
    """What makes a score of each query a distance [n]; None if it is one already."""
    if variant.metric == "hamming":
        return None
    norms = squared_norms(queries)
    if variant.words == "i8x4":  # the gallery was stored + 128
        norms = norms + 256 * queries.sum(axis=1, dtype=np.int32)
    return norms


def _fours(rows: Array) -> Array:
    """Rows of bytes, contiguous and padded with zeros to a multiple of four."""
    missing = -rows.shape[1] % 4
    return np.pad(rows, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(rows)
