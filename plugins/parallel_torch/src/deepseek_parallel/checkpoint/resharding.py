"""A checkpoint written again for another number of ranks."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import attrs

from deepseek_parallel.checkpoint import claim, dcp_files, tree
from deepseek_parallel.checkpoint import manifest as manifests
from deepseek_parallel.checkpoint.exporting import whole_part
from deepseek_parallel.checkpoint.listing import Found, listing
from deepseek_parallel.checkpoint.loading import of_rank
from deepseek_parallel.checkpoint.manifest import File, Manifest
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.checkpoint.plans import plans_of_ranks
from deepseek_parallel.checkpoint.staging import Staged
from deepseek_parallel.checkpoint.verifying import Tell
from deepseek_parallel.states import resharded


def reshard(place: Place, found: Found, target: Place, ranks: int, tell: Tell) -> Manifest:
    """Write the checkpoint for `ranks` ranks elsewhere; only what differs by rank is changed.

    Raises:
        CheckpointDamaged: a file is missing or has other bytes.
        AnotherWriter: a training saves to the target.
        WriteError: it can't be written.
    """
    run = secrets.token_hex(8)
    claim.take(target, run, [claim.this_process()])
    try:
        old, sequence = found.manifest, listing(target).next_sequence
        name = manifests.new_folder(sequence, old.step)
        into = target.below(name)
        files = _written(place, found, into, ranks, tell)
        made = attrs.evolve(
            old, name=name, sequence=sequence, run=run, ranks=ranks if old.by_rank else old.ranks,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            files=tuple(sorted(files, key=lambda f: f.path)),
        )  # fmt: skip
        into.sync()
        into.write(manifests.NAME, made.to_json())
        return made
    finally:
        claim.release(target, run)


def _written(place: Place, found: Found, into: Place, ranks: int, tell: Tell) -> list[File]:
    """Write all files but the manifest, and read them back."""
    old = found.manifest
    inside = place.below(found.folder) if found.folder else place
    for part in manifests.PARTS:
        into.below(part).make()
    files = [f for f in old.files if not old.by_rank or f.path.startswith("model/")]
    for file in files:
        inside.read_verified(file)
        inside.copy_to(file.path, into, tell)
    if old.by_rank:
        states = whole_part(place, found, "optimizer")[1]
        before = [states[of_rank(rank)] for rank in range(old.ranks)]
        files += _by_rank(into, resharded(before, ranks))
    for file in files:
        into.read_verified(file)
    return files


def _by_rank(into: Place, states: list[dict[str, Any]]) -> list[File]:
    """An optimizer whose state is another one on each rank, in a file for each."""
    flat = [tree.flatten({of_rank(rank): state}) for rank, state in enumerate(states)]
    plans, whole = plans_of_ranks([tensors for tensors, _ in flat])
    place, pieces = into.below("optimizer"), list[Any]()
    files: list[File] = []
    skeleton: dict[str, Any] = {}
    for (tensors, one), plan in zip(flat, plans, strict=True):
        skeleton |= one
        writer = dcp_files.PartWriter(place)
        copies = {item.index: tensors[item.index.fqn].contiguous() for item in plan.items}
        pieces += writer.write(plan, Staged(copies))
        files += writer.files.written.values()
    files += dcp_files.PartWriter(place).finish_part(whole, pieces, skeleton)
    return [attrs.evolve(file, path=f"optimizer/{file.path}") for file in files]
