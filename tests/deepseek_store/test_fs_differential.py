"""Random operations do what they do in fsspec's memory filesystem, or in a folder of a disk.

Where neither is followed, a rule below says what ours does and why.
"""

import random
import tempfile
from pathlib import Path

import attrs
import pytest
from fs_operations import READING, Outcome, compare, empty, new_ours, steps
from fs_stores import quick_folder

SEQUENCES, LENGTH = 200, 12


@attrs.frozen
class Rule:
    """Where ours differs from both: the steps, what ours answers, and why that is right."""

    kinds: tuple[str, ...]
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    why: str

    def allows(self, kind: str, ours: Outcome, memory: Outcome, local: Outcome) -> bool:
        if kind not in self.kinds or ours.answer not in self.ours:
            return False
        return any(other.answer in self.theirs for other in (memory, local))


WRITING = ("pipe", "pipe many", "put", "write", "write text", "touch", "cp", "cp_file", "mv")
RULES = (
    Rule(
        WRITING,
        ("raises NotADirectoryError",),
        ("raises FileExistsError",),
        "below a file there is no space for another: ENOTDIR, as open() has it; a disk with"
        " auto_mkdir and memory say that the parent exists",
    ),
    Rule(
        ("read", "lines", "head", "tail", "read_block"),
        ("raises FileNotFoundError",),
        ("raises NotADirectoryError",),
        "below a file nothing is found; memory says FileExistsError here",
    ),
    Rule(
        ("cp", "cp_file", "mv"),
        ("raises NotADirectoryError", "raises IsADirectoryError"),
        (None, "raises FileNotFoundError"),
        "memory lets a file and a folder have one name, and loses the file's content",
    ),
    Rule(
        ("rm",),
        ("raises OSError",),
        ("raises FileNotFoundError",),
        "a folder that is not empty is not taken away (ENOTEMPTY), nor said to be missing",
    ),
    Rule(
        ("rm",),
        ("raises FileNotFoundError",),
        ("raises FileNotFoundError", "raises ValueError"),
        "what is missing among several is told when the others, empty folders too, are gone",
    ),
    Rule(
        ("read",),
        ("raises ValueError",),
        ("raises OSError",),
        "fsspec's buffered files refuse a place before the start with ValueError",
    ),
    Rule(
        ("touch",),
        ("raises IsADirectoryError",),
        (None, "raises NotImplementedError"),
        "a folder has no time of its own to set",
    ),
    Rule(
        ("mv",),
        (None,),
        ("raises OSError", "raises FileNotFoundError", "raises AttributeError", None),
        "folders are moved with and without `recursive`, empty ones too, and several at once;"
        " what would be moved to where it is stays",
    ),
    Rule(
        ("mv",),
        ("raises OSError", "raises FileExistsError", "raises FileNotFoundError"),
        (None, "raises AttributeError", "raises FileNotFoundError"),
        "before anything is moved it is refused: a folder into itself, two files to one name,"
        " one of several that is not there; memory deletes them",
    ),
)


def _is_nothing(kind: str, ours: Outcome) -> bool:
    """Whether it is `cat` of folders without a file in them, where others raise for the folders."""
    return kind == "cat" and ours.answer == {}


def _allowed(kind: str, ours: Outcome, memory: Outcome, local: Outcome) -> bool:
    if ours.is_as(memory) or ours.is_as(local, folders_stay=True):
        return True
    if _is_nothing(kind, ours) and str(memory.answer).startswith("raises"):
        return True
    if kind == "cat_ranges":  # each range as one of the two
        one_by_one = zip(ours.answer, memory.answer, local.answer, strict=True)
        return all(mine in (a, b) for mine, a, b in one_by_one)
    return any(rule.allows(kind, ours, memory, local) for rule in RULES)


@pytest.fixture(scope="module")
def ours():
    with quick_folder() as folder, new_ours(folder / "home") as fs:
        yield fs


@pytest.mark.parametrize("part", range(8))
def test_random_operations_do_what_memory_or_a_disk_does(ours, part):
    with quick_folder() as scratch:
        for seed in range(part, SEQUENCES, 8):
            empty(ours)
            for step, mine, memory, local, before in compare(
                ours, steps(random.Random(seed), LENGTH), scratch
            ):
                shown = f"seed {seed}: {step}\n{mine}\n{memory}\n{local}\nbefore: {before}"
                assert _allowed(step[0], mine, memory, local), shown
                if step[0] in READING:
                    assert (mine.files, mine.folders) == before, shown


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kinds[0]}: {rule.why[:40]}")
def test_every_rule_is_needed(ours, rule):
    for seed in range(10_000):
        rng = random.Random(seed)
        empty(ours)
        with tempfile.TemporaryDirectory(dir=ours.home) as scratch:
            sequence = [*steps(rng, 4, ("pipe", "mkdir", "pipe")), *steps(rng, 2, rule.kinds)]
            for step, mine, memory, local, _ in compare(ours, sequence, Path(scratch)):
                same = mine.is_as(memory) or mine.is_as(local, folders_stay=True)
                if not same and rule.allows(step[0], mine, memory, local):
                    return
    raise AssertionError("nothing differs like this any more")
