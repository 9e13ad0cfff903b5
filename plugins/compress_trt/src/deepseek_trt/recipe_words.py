"""Remedies that name options of `ds-sdk trt`, as a recipe has them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from deepseek_core import DeepSeekError


def _listed(found: re.Match[str]) -> str:
    values = ", ".join(f'"{each}"' for each in found[1].split(","))
    return f"compute = [{values}]"


_OPTIONS: Final = (
    (re.compile(r"--compute ([\d.,]+\d)"), _listed),
    (re.compile(r"--profile ([^\s,]+)"), r'profiles = ["\1"]'),
    (re.compile(r"--backend (\w+)"), r'backend = "\1"'),
    (re.compile(r"--time-limit (\d+)"), r"time_limit_s = \1"),
    (re.compile(r"--time-limit"), "time_limit_s"),
    (re.compile(r"--workspace 1G"), "workspace_nbytes = 1_000_000_000"),
    (re.compile(r"\(--cache FOLDER or DEEPSEEK_CACHE_DIR\), or --no-cache"),
     "(DEEPSEEK_CACHE_DIR), or cache = false"),
)  # fmt: skip


@contextlib.contextmanager
def in_recipe_words() -> Iterator[None]:
    """Have what is raised in the block say what to write in a recipe."""
    try:
        yield
    except DeepSeekError as error:
        for option, words in _OPTIONS:
            error.remedy = error.remedy and option.sub(words, error.remedy)
        raise
