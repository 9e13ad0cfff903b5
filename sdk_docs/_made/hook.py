"""Fills in what is read off the code: a line `<!-- made: NAME -->` of a page becomes its text.

mkdocs calls `on_page_markdown` and `on_post_page` for each page, and `on_post_template` for that of
what is not found. So the reference can't drift from the code: nothing of it is written down twice.
tests/docs/test_site.py compares the built pages with the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import benchmarks
import catalog
import command_line
import configuration
import constants
import contracts
import drawings
import error_tree
import event_types
import group_command_line
import hook_specs
import recipe_options
import store_python
import translated

MAKERS: Final[dict[str, Callable[[], str]]] = {
    "benchmarks": benchmarks.rows,
    "catalog": catalog.page,
    "commands": command_line.page,
    "cost_constants": constants.cost_model,
    "placement_constants": constants.placement,
    "store_commands": group_command_line.store,
    "app_commands": group_command_line.app,
    "compress_commands": group_command_line.compress,
    "trt_commands": group_command_line.trt,
    "fpga_commands": group_command_line.fpga,
    "train_commands": group_command_line.train,
    "ckpt_commands": group_command_line.ckpt,
    "recipe_options": recipe_options.page,
    "store_classes": store_python.page,
    "ds_filesystem": store_python.filesystem,
    "ds_errors": store_python.error_numbers,
    "switches": configuration.switches,
    "events": event_types.page,
    "plans": contracts.plans,
    "records_and_classes": contracts.page,
    "errors": error_tree.page,
    "hooks": hook_specs.page,
    "drawing_flow": drawings.flow,
    "drawing_layers": drawings.layers,
    "drawing_store": drawings.store,
}
_BLOCK: Final = re.compile(r"<pre(?=>(?:<span></span>)?<code>)")
_MARK: Final = re.compile(r"^<!-- made: (\w+) -->$", re.M)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page with its marks filled in.

    Raises:
        KeyError: a mark names no maker.
        ValueError: a Chinese page does not have the blocks of the English one.
    """
    source = translated.DOCS / page.file.src_uri
    if source.is_relative_to(translated.FOLDER):
        english = translated.english_of(source).read_text(encoding="utf-8")
        markdown = translated.filled(markdown, english)
    return _MARK.sub(lambda mark: MAKERS[mark[1]](), markdown)


def on_post_page(output: str, **_: Any) -> str:
    """What a screen reader and a keyboard need and the theme leaves out.

    The search has a name, and code that scrolls can be scrolled by keyboard.
    """
    return _BLOCK.sub('<pre tabindex="0"', on_post_template(output))


def on_post_template(output: str, **_: Any) -> str:
    """The search with a name, for a screen reader."""
    return output.replace('role="dialog">', 'role="dialog" aria-label="Search">')
