"""The promises of an application, for this one; its languages are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from deepseek_core.testing import ApplicationConformance

_WORDS: Final = ("ka", "lo", "mi", "ne", "pu", "ra", "si", "to")
_PAIRS: Final = 200


class TestTranslate(ApplicationConformance):
    """Translation: the other language is the same one in capitals."""

    plugin = "applications"
    name = "translate"
    waivers: ClassVar[Mapping[str, str]] = {
        "test_using_it_leaves_the_process_as_it_was": "torch names a cache by a variable",
        "test_using_it_writes_only_where_it_may": "torch makes the folder of a cache",
    }
    options: ClassVar[Mapping[str, Any]] = {
        "source_language": "aa", "target_language": "bb", "tasks": "main,denoise",
        "vocabulary": 44, "width": 16, "inner": 32, "heads": 2, "layers": 1, "updates": 2,
        "batch_tokens": 100, "warmup": 1, "longest": 24,
    }  # fmt: skip

    def source(self, folder: Path) -> Path:
        """Pairs of sentences, one a line."""
        rng = np.random.default_rng(0)
        texts = {" ".join(rng.choice(_WORDS, rng.integers(3, 5))) for _ in range(_PAIRS)}
        lines = [f"{text}\t{text.upper()}\tCC0\n" for text in sorted(texts)]
        return _written(folder / "pairs.tsv", "".join(lines))

    def inputs(self, folder: Path) -> Sequence[Path]:
        """Two sentences, and an empty line between them."""
        return [_written(folder / "new.txt", "ka lo mi\n\nto si\n")]

    def unfit(self, folder: Path) -> Sequence[Path]:
        """Two pairs alone, a file without pairs, one of another encoding, and none."""
        damaged = folder / "damaged.tsv"
        damaged.write_bytes("ka\tK\xc4\n".encode("latin-1") * 40)
        return [
            _written(folder / "two.tsv", "a\tb\nc\td\n"),
            _written(folder / "one_side.tsv", "ka lo\n" * 40),
            damaged,
            folder / "none.tsv",
        ]


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
