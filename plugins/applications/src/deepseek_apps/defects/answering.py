"""Inspects pictures with an exported file: from each file to a row and a map, under a deadline.

Legend: H x W px of a picture, cells of the map.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deepseek_apps.defects.decoder import Decoder
from deepseek_apps.defects.exported import MODEL, Inspection, read_inspection
from deepseek_apps.defects.maps import box_of, write_map
from deepseek_apps.defects.reading import SUFFIXES
from deepseek_core import console, errors

if TYPE_CHECKING:
    from deepseek_core import Plan, Session

Array = np.ndarray[Any, Any]
_OF_TIME: Final = ("seconds", "late")


class Line:
    """One exported inspection, placed by a session's realtime class; close it, or use a `with`.

    Raises:
        InputError: the files of the export are damaged, or do not belong together.
    """

    def __init__(self, target: Path, session: Session, deadline_ms: float | None = None) -> None:
        self.inspection: Inspection = read_inspection(target)
        self._deadline_s = (deadline_ms or self.inspection.deadline_ms) / 1e3
        graph = session.load(target / MODEL)
        self._plan: Plan = session.plan(graph, latency="realtime", deadline_s=self._deadline_s)
        read = partial(console.read_picture, channels=self.inspection.colors)
        self._decode = Decoder(read, self.inspection.decode_s)

    def inspect(self, file: Path) -> tuple[dict[str, Any], Array | None]:
        """The row of a picture and its map; of one that can't be read, a row that says why.

        Such a part is no good one: `defect` is None, for a person to look at it.
        """
        start_s = time.perf_counter()
        try:
            picture = self._decode(file)
        except errors.InputError as error:
            return self._unread(file, str(error)), None
        found = self._plan.run({"picture": picture})
        score, suspicious = float(found["score"][0]), np.asarray(found["map"])
        row = self._row(file, score, np.asarray(found["classes"]))
        if row["defect"]:
            row["where"] = box_of(suspicious, picture.shape[:2], self.inspection.crop)
        row["seconds"] = time.perf_counter() - start_s
        row["late"] = row["seconds"] > self._deadline_s
        return row, suspicious

    def _row(self, file: Path, score: float, classes: Array) -> dict[str, Any]:
        is_defect = score >= self.inspection.threshold
        name = self.inspection.classes[1 + int(classes[1:].argmax())] if is_defect else "good"
        return {
            "file": str(file), "score": score, "class": name, "defect": is_defect, "where": None,
        }  # fmt: skip

    def _unread(self, file: Path, why: str) -> dict[str, Any]:
        return {
            "file": str(file), "score": None, "class": None, "defect": None, "where": None,
            "seconds": None, "late": None, "error": why,
        }  # fmt: skip

    def warm(self, file: Path) -> None:
        """Inspect once for nothing, as a first run makes what later ones use."""
        self.inspect(file)

    def close(self) -> None:
        """Free the plan and the thread."""
        self._decode.close()
        self._plan.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answer(
    target: Path,
    inputs: Sequence[Path],
    session: Session,
    *,
    maps: Path | None = None,
    timed: bool = True,
    deadline_ms: float | None = None,
) -> Iterator[Mapping[str, Any]]:
    """A row for each picture, in order; with `maps` their maps are written there as PNG.

    Without `timed` equal pictures get equal rows. The deadline is that of the export by default.

    Raises:
        InputError: no picture, or files of an export that are damaged.
        WriteError: a map can't be written.
    """
    files = pictures_of(inputs)
    with Line(target, session, deadline_ms) as line:
        line.warm(files[0])
        for number, file in enumerate(files):
            row, found = line.inspect(file)
            if maps is not None and found is not None:
                row["map"] = str(write_map(found, maps / f"{number:06d}-{file.stem}.png"))
            yield row if timed else {key: row[key] for key in row if key not in _OF_TIME}


def pictures_of(inputs: Iterable[Path]) -> list[Path]:
    """The files, and those of the folders that end in the name of a format, by name.

    Raises:
        InputError: no such file, or no picture at all.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = [each for each in sorted(path.iterdir()) if each.suffix.lower() in SUFFIXES]
            found += [each for each in inside if not each.name.startswith(".")]
        elif path.exists() or path.is_symlink():
            found.append(path)
        else:
            raise errors.InputError(f"no such file: {path}", remedy="give pictures, or folders")
    if not found:
        raise errors.InputError(
            f"no pictures in {', '.join(map(str, inputs)) or 'nothing'}",
            remedy="give pictures such as PNG or JPEG files, or folders of them",
        )
    return found
