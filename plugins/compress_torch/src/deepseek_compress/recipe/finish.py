"""What a run leaves: model files, the plan, the locked recipe, the report, the manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepseek_compress.recipe.workspace import LOCK
from deepseek_core import compression, console


def write_results(
    output: Path,
    locked: Mapping[str, Any],
    plans: Sequence[compression.StepPlan],
    report: compression.CompressionReport,
    extra: Mapping[str, Path],
) -> None:
    """Write all files of a run; the manifest comes last, so that it says that they are whole.

    Raises:
        WriteError: no space, or no permission.
    """
    from deepseek_compress.report.page import write_page

    for name, path in extra.items():
        shutil.copyfile(path, output / name)
    texts = {
        LOCK: console.as_toml(locked),
        "plan.json": json.dumps([plan.to_json() for plan in plans], indent=1) + "\n",
        "report.json": json.dumps(report.to_json(), indent=2) + "\n",
    }
    for name, text in texts.items():
        (output / name).write_text(text, encoding="utf-8")
    write_page(output / "report.html", report)
    compression.Manifest.of(output).write(output)
