"""What a plugin's command shares with ours: parser, progress, tables, pages, caches, remedies.

Plugins import it from the public API: `from deepseek_core import console`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepseek_core.cli.amounts import nbytes_of, seconds_of
from deepseek_core.cli.answer import answer_bytes, flush, print_json, print_lines, print_note
from deepseek_core.cli.charts import Axis, Bar, Point, bar_chart, line_chart, scatter, timeline
from deepseek_core.cli.groups import CommandGroup
from deepseek_core.cli.html import figure, legend, scrolled, table, write_html
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.parser import command_parser
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.table import print_table, print_text, render_table, terminal_width
from deepseek_core.contracts.files import read_own, whole_file
from deepseek_core.contracts.toml import as_toml
from deepseek_core.contracts.units import format_bytes, format_seconds, printable, usable_cores
from deepseek_core.contracts.urls import without_password
from deepseek_core.discovery.folders import cache_dir, make_private
from deepseek_core.discovery.installing import install_command, update_command

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from deepseek_core.cli.child import Answer
    from deepseek_core.cli.csv_files import TextTable as TextTable  # noqa: PLC0414 - for annotations

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
    "legend",
    "line_chart",
    "load_entry",
    "make_private",
    "nbytes_of",
    "open_url",
    "picture_size",
    "print_json",
    "print_lines",
    "print_note",
    "print_table",
    "print_text",
    "printable",
    "read_content",
    "read_csv",
    "read_own",
    "read_picture",
    "render_table",
    "run_child",
    "scatter",
    "scrolled",
    "seconds_of",
    "table",
    "terminal_width",
    "timeline",
    "update_command",
    "usable_cores",
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


def read_content(path: Path) -> bytes:
    """The bytes of a text file, or those that a gzip file holds.

    Raises:
        InputError: no such file, more than 2 GiB, a damaged gzip file, or what begins like a file
            of another kind (Parquet, a spreadsheet, an archive).
    """
    from deepseek_core.cli.text_files import read_content as read  # start-up counts

    return read(path)


def read_csv(
    path: Path, *, needs: Iterable[str] = (), delimiter: str | None = None, encoding: str = "utf-8"
) -> TextTable:
    """The columns of a CSV file with a header, as text; plain or gzip.

    A byte-order mark decides the encoding, else `encoding`. The delimiter is that of , ; tab |
    which the header has most. Columns without a name are left out where that loses nothing: a first
    one, which numbers rows, and those without a value.

    Raises:
        InputError: no such file, another encoding, no header or row, a row of another length, a
            name twice or missing, an open quote, or a column of `needs` that is not there; says in
            which line.
    """
    from deepseek_core.cli.csv_files import read_csv as read  # start-up counts

    return read(path, needs=needs, delimiter=delimiter, encoding=encoding)


def read_picture(file: Path, channels: int) -> npt.NDArray[np.uint8]:
    """Levels of a picture, uint8 [H, W, channels]: 1 for gray, 3 for red, green and blue.

    It stands upright as its EXIF data say. Transparent pixels lie on black. Gray of more than 8
    bits keeps the upper 8, and floats count from 0 to 1. Of several frames the first one is read.

    Raises:
        InputError: Pillow is not installed; the file can't be read, is no picture, is damaged, has
            more than 89,478,485 pixels, or numbers whose black and white nobody knows.
    """
    from deepseek_core.cli.pictures.levels import read_levels  # start-up counts

    return read_levels(file, channels)


def picture_size(file: Path) -> tuple[int, int]:
    """Height and width, px, that `read_picture` gives; pixels are not decoded.

    Raises:
        InputError: as `read_picture`.
    """
    from deepseek_core.cli.pictures.levels import read_size  # start-up counts

    return read_size(file)


def run_child(
    words: Sequence[str],
    folder: Path,
    name: str,
    *,
    look: Callable[[], int] = lambda: 0,
    silent_s: float = 1_800.0,
    stop_s: float = 120.0,
    threads: int | None = None,
    fine: Collection[int] = (0,),
) -> Answer:
    """Run `ds-sdk WORDS` to its end in a process of its own, which ends with this one.

    It works in `folder`, where `name`.json and `name`.log keep what it prints, with so many threads
    in each of its processes, or as many as the environment says. `look()` is called now and then:
    it tells what is new, and gives a number that grows while the child is at work. What `look`
    raises, and Ctrl-C, is passed on as Ctrl-C, and the child has `stop_s` seconds to save.

    Gives the JSON that it printed as `answer`, and as `cpu_s` the seconds of processors that
    children of this process took meanwhile.

    Raises:
        Interrupted: it was stopped; what it saved stays.
        DeepSeekError: it said nothing for `silent_s`, or ended without an answer, or with an exit
            code that is not `fine`; has its last words.
    """
    from deepseek_core.cli.child import run_child as run  # start-up counts

    return run(
        words, folder, name,
        look=look, silent_s=silent_s, stop_s=stop_s, threads=threads, fine=fine,
    )  # fmt: skip
