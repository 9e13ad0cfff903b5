"""What a plugin's command shares with ours: parser, progress, tables, pages, caches, remedies.

Plugins import it from the public API: `from deepseek_core import console`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepseek_core.cli.amounts import nbytes_of, seconds_of
from deepseek_core.cli.answer import answer_bytes, flush, print_json, print_lines, print_note
from deepseek_core.cli.charts import Axis, Bar, Point, bar_chart, line_chart, scatter, timeline
from deepseek_core.cli.groups import CommandGroup
from deepseek_core.cli.html import figure, legend, scrolled, table, write_html
from deepseek_core.cli.kept import kept_command
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.parser import command_parser
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.table import print_table, print_text, render_table, terminal_width
from deepseek_core.contracts.files import read_own, whole_file
from deepseek_core.contracts.toml import as_toml
from deepseek_core.contracts.units import format_bytes, format_seconds, printable
from deepseek_core.contracts.urls import without_password
from deepseek_core.discovery.folders import cache_dir, make_private
from deepseek_core.discovery.installing import install_command, update_command

__all__ = [
    "Axis",
    "Bar",
    "CommandGroup",
    "Point",
    "ProgressReporter",
    "answer_bytes",
    "as_toml",
    "bar_chart",
    "cache_dir",
    "check_writable",
    "command_parser",
    "figure",
    "flush",
    "format_bytes",
    "format_seconds",
    "install_command",
    "kept_command",
    "legend",
    "line_chart",
    "load_entry",
    "make_private",
    "nbytes_of",
    "open_url",
    "print_json",
    "print_lines",
    "print_note",
    "print_table",
    "print_text",
    "printable",
    "read_own",
    "render_table",
    "scatter",
    "scrolled",
    "seconds_of",
    "table",
    "terminal_width",
    "timeline",
    "update_command",
    "whole_file",
    "without_password",
    "write_html",
]


def load_entry(text: str, folder: Path, *, where: str) -> Any:
    """The object that `text` names: "package.module:name", or "file.py:name" below `folder`.

    Modules are found as Python finds them, and in `folder` itself; `where` begins the errors.

    Raises:
        ConfigError: no such file, module or name (the nearest name is told), or the module
            raises while it is imported.
    """
    from deepseek_core.cli.entries import load_entry as load  # start-up counts

    return load(text, folder, where=where)


def open_url(url: str, **options: Any) -> tuple[Any, str]:
    """The file system of a URL or path as fsspec has it, and the path in it.

    Raises:
        ConfigError: fsspec knows no such scheme, or a library is missing for it.
        InputError: it connects at once, and nobody answers.
    """
    from deepseek_core.cli.urls import open_url as opened  # start-up counts

    return opened(url, **options)
