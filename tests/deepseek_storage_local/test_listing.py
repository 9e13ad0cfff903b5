"""Listings against a slow twin: all keys, filtered and sorted."""

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_storage_local.tier import open_tier

LONG = "x" * 199
PARTS = st.sampled_from(
    [
        *("a", "a-b", "a.b", "a0", "b", "é", "权", "a.obj", ".a", "%2E", LONG, LONG + "é"),
        *(LONG + "x", LONG + "xy", LONG + "xy-", LONG + "xy0" + "z" * 200),
    ]
)
# Names are compared here, not flushes.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
KEYS = st.sets(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=12)


@settings(max_examples=25)
@given(KEYS, st.randoms(use_true_random=False))
def test_any_prefix_lists_its_keys_in_order(keys, chance):
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        open_tier(Path(folder).as_uri()) as tier,
    ):
        for key in keys:
            assert tier.put_if_absent(key, b"x" * (len(key) % 7))
        some = [key[: chance.randrange(len(key) + 1)] for key in sorted(keys)]
        for prefix in ["", "a", "a/", "nothing/at/all", *some]:
            expected = sorted(key for key in keys if key.startswith(prefix))
            found = list(tier.list(prefix))
            assert [stat.key for stat in found] == expected
            assert [stat.nbytes for stat in found] == [len(key) % 7 for key in expected]


def test_domains_lie_among_the_other_keys(open_local):
    tier = open_local(domains="b,d")
    keys = ["a", "b/1", "b/2/x", "c/1", "d/1", "e"]
    for key in random.Random(2).sample(keys, len(keys)):
        tier.put_if_absent(key, b"x")
    assert [found.key for found in tier.list()] == keys
    assert [found.key for found in tier.list("b/2")] == ["b/2/x"]


def test_foreign_files_are_not_listed(open_local, tmp_path):
    tier = open_local()
    tier.put_if_absent("mine", b"x")
    (tmp_path / "tier" / "lost+found").mkdir()
    (tmp_path / "tier" / "notes.txt").write_text("of a person")
    assert [found.key for found in tier.list()] == ["mine"]


def test_deleted_objects_leave_no_folders(open_local, tmp_path):
    tier = open_local(domains=2)
    for key in ("d0/stripes/1/2", "d0/stripes/1/3", "x/y"):
        tier.put_if_absent(key, b"x")
        tier.delete(key)
    left = [path.name for path in (tmp_path / "tier").rglob("*") if ".ds" not in path.parts]
    assert sorted(left) == ["d0", "d1"]
