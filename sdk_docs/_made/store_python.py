"""The classes of the store that programs use, and the errors of `ds://` with their numbers."""

from __future__ import annotations

import errno
import inspect
from typing import Any, Final

import contracts

from deepseek_store.check.explain import Explanation
from deepseek_store.check.fsck import FsckReport
from deepseek_store.check.scrub_report import ScrubReport
from deepseek_store.fs import to_os_error
from deepseek_store.fs.filesystem import DeepSeekFileSystem
from deepseek_store.maintenance import Maintenance
from deepseek_store.move.gc import GcReport
from deepseek_store.object_mapping import ObjectMapping
from deepseek_store.planning.policy import Policy
from deepseek_store.store import ObjectInfo, Store
from deepseek_store.torch_data import ObjectDataset, OrderedBatches, loader
from deepseek_store.write.receipt import Receipt
from deepseek_store.write.restore import Restored
from deepseek_store.write.upload import Upload

# heading -> what is described below it
GROUPS: Final[dict[str, tuple[Any, ...]]] = {
    "The store": (Store, ObjectMapping, Upload, Maintenance),
    "What it takes and gives back": (
        Policy, ObjectInfo, Receipt, Explanation, Restored, ScrubReport, FsckReport, GcReport,
    ),
    "Loaders for torch": (ObjectDataset, loader, OrderedBatches),
}  # fmt: skip
FILESYSTEM: Final = DeepSeekFileSystem


def page() -> str:
    """Every group of classes."""
    parts = []
    for title, items in GROUPS.items():
        parts += [f"## {title}", *map(contracts.section, items)]
    return "\n\n".join(parts)


def filesystem() -> str:
    """The filesystem's methods, those of the classes that it is made of too."""
    options = "    options:\n      inherited_members: true"
    return f"::: {FILESYSTEM.__module__}.{FILESYSTEM.__name__}\n{options}"


def error_numbers() -> str:
    """A row for each error of a file: what it is besides, and its number."""
    rows = ["| error | is also | errno | when |", "|---|---|---|---|"]
    for kind, made, number in to_os_error.KINDS:
        about = (inspect.getdoc(made) or "").partition("(")[0].strip().rstrip(".")
        rows.append(
            f"| `{made.__name__}` | `{kind.__name__}` | {errno.errorcode[number]} | {about} |"
        )
    return "\n".join(rows)
