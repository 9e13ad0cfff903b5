"""`ds-sdk ckpt inspect`: the checkpoints at a URL, or what one of them holds."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

import attrs

from deepseek_core import console
from deepseek_parallel.checkpoint import manifest as manifests
from deepseek_parallel.checkpoint.foreign import tensors_of
from deepseek_parallel.checkpoint.listing import METADATA, Found, Listing
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.ckpt_cli.common import add_json, add_step, add_url, opened

EXAMPLES: Final = """examples:
  ds-sdk ckpt inspect runs/first
  ds-sdk ckpt inspect ds://runs/first --step 2000      files, extra values
  ds-sdk ckpt inspect runs/first --step 2000 --tensors
  ds-sdk ckpt inspect runs/first --json                for a script

Only manifests are read, and no code of a checkpoint is run. A folder that
torch.distributed.checkpoint has written itself is shown, too; it has no manifest.

exit codes: 0 done, 1 a manifest is damaged, 2 wrong arguments or no checkpoint"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_url(parser)
    add_step(parser, "a list of all")
    parser.add_argument("--tensors", action="store_true", help="name, dtype and shape of each")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; 1 if a manifest is damaged.

    Raises:
        CheckpointMissing: there is none.
    """
    place, found = opened(args.url)
    if args.step is None and not args.tensors:
        _print_all(args, place, found)
        return 1 if found.damaged else 0
    if args.step is None and not found.committed and found.foreign:
        _print_foreign(args, place, found.foreign[0])
        return 0
    _print_one(args, place, found.chosen(args.step, place.url))
    return 0


def _print_all(args: argparse.Namespace, place: Place, found: Listing) -> None:
    if args.json:
        facts = {
            "schema": 1,
            "url": place.url,
            "checkpoints": [_fact(one) for one in found.committed],
            "damaged": [{"folder": name, "error": str(error)} for name, error in found.damaged],
            "torn": list(found.torn),
            "without_manifest": list(found.foreign),
        }
        console.print_json(facts, indent=1)
        return
    if found.committed:
        rows = [_row(one) for one in found.committed]
        console.print_table(("STEP", "FOLDER", "SAVED (UTC)", "RANKS", "SIZE"), rows)
    for name, error in found.damaged:
        console.print_text(f"{name}: {error}")
    for name in found.torn:
        console.print_text(f"{name}: a save that did not come to its end; it does not count")
    for name in found.foreign:
        console.print_text(
            f"{name or place.url}: a checkpoint of torch.distributed.checkpoint, without a "
            "manifest; --tensors shows what it holds"
        )


def _print_one(args: argparse.Namespace, place: Place, chosen: Found) -> None:
    inside = place.below(chosen.folder) if chosen.folder else place
    told = chosen.manifest
    tensors = {}
    if args.tensors:
        tensors = {part: _tensors(inside.below(part)) for part in manifests.PARTS}
    if args.json:
        facts = _fact(chosen) | {"files": [attrs.asdict(file) for file in told.files]}
        console.print_json(
            {"schema": 1, **facts, **({"tensors": tensors} if tensors else {})}, indent=1
        )
        return
    differs = "the optimizer's state differs by rank" if told.by_rank else "nothing differs by rank"
    console.print_text(
        f"{chosen.folder or place.url}: step {told.step}, saved {_moment(told.created)} UTC by "
        f"{told.ranks} ranks ({differs}), {console.format_bytes(told.nbytes)}"
    )
    console.print_text(f"extra: {json.dumps(told.extra)}")
    console.print_text(", ".join(f"{name} {number}" for name, number in told.versions.items()))
    if tensors:
        for part, each in tensors.items():
            _print_tensors(part, each)
        return
    rows = [(f.path, console.format_bytes(f.nbytes), f.sha256[:16]) for f in told.files]
    console.print_table(("FILE", "SIZE", "SHA-256 BEGINS"), rows)


def _print_foreign(args: argparse.Namespace, place: Place, folder: str) -> None:
    tensors = _tensors(place.below(folder) if folder else place)
    if args.json:
        facts = {"schema": 1, "folder": folder, "manifest": False, "tensors": tensors}
        console.print_json(facts, indent=1)
        return
    console.print_text(
        f"{folder or place.url} is a checkpoint of torch.distributed.checkpoint, without a "
        "manifest: whether it is whole can't be told"
    )
    _print_tensors("tensors", tensors)


def _print_tensors(title: str, tensors: dict[str, Any]) -> None:
    rows = [(name, one["dtype"], str(tuple(one["shape"]))) for name, one in tensors.items()]
    console.print_lines()
    console.print_table((title.upper(), "DTYPE", "SHAPE"), rows)


def _tensors(place: Place) -> dict[str, Any]:
    """Dtype and shape of each tensor of a part, by name."""
    return tensors_of(place.read(METADATA) or b"", place.url_of(METADATA))


def _fact(one: Found) -> dict[str, Any]:
    told = attrs.asdict(one.manifest)
    files = told.pop("files")
    return {"folder": one.folder, **told, "num_files": len(files), "nbytes": one.manifest.nbytes}


def _row(one: Found) -> tuple[str, ...]:
    told = one.manifest
    size = console.format_bytes(told.nbytes)
    return str(told.step), one.folder, _moment(told.created), str(told.ranks), size


def _moment(iso: str) -> str:
    """A moment as people read it."""
    return iso[:19].replace("T", " ")
