"""Disks that fill up, vanish, come back, are swapped or can't be written: real file systems."""

import errno
import os
import shutil

import pytest

from deepseek_core import errors
from deepseek_storage_local import tier_folders, vendor_errors
from deepseek_storage_local.handles import none_left


def test_a_full_disk_is_told_and_nothing_is_left(with_mounts, tmp_path):
    found = with_mounts(
        """
mount(root, "2m")
tier = open_tier(root.as_uri())
tier.put_if_absent("small", b"x" * 100_000)
told = failure(lambda: tier.put_if_absent("deep/down/large", bytes(3 << 20)))
left = files(root), aside(root), (root / "deep").exists()
fits = tier.put_if_absent("deep/down/large", bytes(1 << 20))
print(json.dumps([told, left, fits, tier.get("small") == b"x" * 100_000]))
""",
        tmp_path / "disk",
    )
    (kind, text), left, fits, is_whole = found
    assert kind == "TierFull" and "No space left" in text and "free some space" in text
    assert left == [["small.obj"], [], False]
    assert fits and is_whole


def test_a_disk_without_inodes_is_full_too(with_mounts, tmp_path):
    found = with_mounts(
        """
mount(root, "4m", ",nr_inodes=40")
tier = open_tier(root.as_uri())
told, number = None, 0
while told is None:
    told, number = failure(lambda: tier.put_if_absent(f"{number}/x", b"x")), number + 1
listed = [found.key for found in tier.list()]
print(json.dumps([told, len(listed) == number - 1, aside(root)]))
""",
        tmp_path / "disk",
    )
    (kind, _), all_listed, left = found
    assert (kind, all_listed, left) == ("TierFull", True, [])


def test_a_disk_that_is_not_mounted_is_not_written_in_its_place(with_mounts, tmp_path):
    found = with_mounts(
        """
for name in ("a", "b"):
    mount(root / name, "1m")
url = f"{root.as_uri()}?domains=a,b"
with open_tier(url) as tier:
    tier.put_if_absent("a/x", b"on a")
    tier.put_if_absent("b/x", b"on b")
    evidence = tier.profile().evidence
unmount(root / "b")
with open_tier(url) as tier:
    told = failure(lambda: tier.put_if_absent("b/y", b"y"))
    reads = failure(lambda: tier.get("b/x")), failure(lambda: list(tier.list("b/")))
    everything = failure(lambda: list(tier.list()))
    others = tier.get("a/x").decode(), [found.key for found in tier.list("a/")]
    empty = os.listdir(root / "b")
    mount(root / "b", "1m")
    swapped = failure(lambda: tier.put_if_absent("b/y", b"y"))
    untouched = os.listdir(root / "b")
    unmount(root / "b")
    (root / ".ds" / "domains" / "b").unlink()
with open_tier(url) as tier:
    again = tier.put_if_absent("b/y", b"y")
print(json.dumps([evidence, told, reads, everything, others, empty, swapped, untouched, again]))
""",
        tmp_path / "tier",
    )
    evidence, told, reads, everything, others, empty, swapped, untouched, anew = found
    assert evidence == "hardware"
    for kind, text in (told, *reads, everything, swapped):
        assert kind == "TierUnavailable" and "'b'" in text and "mount it again" in text
    assert others == ["on a", ["a/x"]]
    assert (empty, untouched, anew) == ([], [], True)


def test_a_disk_that_comes_back_is_used_again(with_mounts, tmp_path):
    found = with_mounts(
        """
mount(root / "disk", "1m")
keep = root / "keep"
tier = open_tier(f"{root.as_uri()}?domains=disk")
tier.put_if_absent("disk/x", b"content")
keep.mkdir()
subprocess.run(["mount", "--bind", str(root / "disk"), str(keep)], check=True)
subprocess.run(["umount", "-l", str(root / "disk")], check=True)
gone = failure(lambda: tier.put_if_absent("disk/y", b"y")), failure(lambda: tier.stat("disk/z"))
subprocess.run(["mount", "--bind", str(keep), str(root / "disk")], check=True)
print(json.dumps([gone, tier.put_if_absent("disk/y", b"y"), tier.get("disk/x").decode()]))
""",
        tmp_path / "tier",
    )
    gone, wrote, content = found
    assert [kind for kind, _ in gone] == ["TierUnavailable"] * 2
    assert wrote and content == "content"


def test_a_disk_that_can_only_be_read_still_reads(with_mounts, tmp_path):
    found = with_mounts(
        """
mount(root, "1m")
tier = open_tier(root.as_uri())
tier.put_if_absent("x", b"content")
subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
print(json.dumps([failure(lambda: tier.put_if_absent("y", b"y")), tier.get("x").decode()]))
""",
        tmp_path / "disk",
    )
    (kind, text), content = found
    assert kind == "TierUnavailable" and "mount it for writing" in text
    assert content == "content"


def test_a_folder_that_is_removed_is_gone_and_not_made_again(open_local, tmp_path):
    tier = open_local()
    tier.put_if_absent("x", b"content")
    assert tier.get("x") == b"content"
    shutil.rmtree(tmp_path / "tier")
    uses = {
        "get": lambda: tier.get("x"),
        "put": lambda: tier.put_if_absent("y", b"y"),
        "list": lambda: list(tier.list()),
        "stat": lambda: tier.stat("x"),
        "delete": lambda: tier.delete("x"),
        "profile": tier.profile,
    }
    for use in uses.values():
        with pytest.raises(errors.TierUnavailable, match="is gone") as caught:
            use()
        assert caught.value.retryable and "mount it again" in caught.value.remedy
    assert not (tmp_path / "tier").exists()


def test_a_folder_that_is_moved_away_is_gone(open_local, tmp_path):
    tier = open_local(domains=2)
    tier.put_if_absent("d0/x", b"0")
    tier.put_if_absent("d1/x", b"1")
    (tmp_path / "tier" / "d0").rename(tmp_path / "elsewhere")
    with pytest.raises(errors.TierUnavailable):
        tier.put_if_absent("d0/y", b"y")
    assert tier.get("d1/x") == b"1"
    assert tier.put_if_absent("d1/y", b"y")
    (tmp_path / "elsewhere").rename(tmp_path / "tier" / "d0")
    assert tier.put_if_absent("d0/y", b"y")


def test_without_any_disk_the_tier_opens_and_says_so(open_local, tmp_path):
    open_local(domains=2).close()
    for name in ("d0", "d1"):
        (tmp_path / "tier" / name).rename(tmp_path / name)
    tier = open_local(domains=2)
    for use in (tier.profile, lambda: tier.get("d1/x"), lambda: list(tier.list())):
        with pytest.raises(errors.TierUnavailable, match="is not at"):
            use()
    assert tier.put_if_absent("x", b"of no domain")
    (tmp_path / "d1").rename(tmp_path / "tier" / "d1")
    assert tier.put_if_absent("d1/x", b"x")
    assert tier.profile().free_nbytes > 0


def test_a_place_that_must_be_there_is_not_made(open_local, tmp_path):
    with pytest.raises(errors.TierUnavailable, match="is gone"):
        open_local(create=0)
    assert not (tmp_path / "tier").exists()
    open_local().close()
    assert open_local(create=0).put_if_absent("x", b"x")


@pytest.mark.parametrize("times", [1, 2])
def test_a_folder_is_opened_once_more_where_others_had_all_descriptors(
    open_local, monkeypatch, times
):
    tier, opened = open_local(), tier_folders.Volume
    failures = [OSError(errno.EMFILE, "Too many open files") for _ in range(times)]

    def volume(*given):
        if failures:
            raise failures.pop()
        return opened(*given)

    none_left(failures[0])  # all that is kept is let go of
    monkeypatch.setattr(tier_folders, "Volume", volume)
    if times == 1:
        assert tier.profile().free_nbytes
    else:
        with pytest.raises(errors.TierUnavailable, match="Too many open files"):
            tier.profile()


def test_a_place_of_another_version_is_refused(open_local, tmp_path):
    open_local().close()
    (tmp_path / "tier" / ".ds" / "identity").write_text("deepseek-tier 9\nabc\n")
    with pytest.raises(errors.ConfigError, match="another version"):
        open_local()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, errors.TierUnavailable),
        (errno.ESTALE, errors.TierUnavailable),
        (errno.EACCES, errors.TierUnavailable),
        (errno.EMFILE, errors.TierUnavailable),
        (errno.ENOSPC, errors.TierFull),
        (errno.EDQUOT, errors.TierFull),
        (errno.EFBIG, errors.TierFull),
        (errno.ENAMETOOLONG, errors.InputError),
    ],
)
def test_each_failure_has_its_kind_and_a_remedy(number, kind):
    found = vendor_errors.fault(OSError(number, os.strerror(number)), "/disk", "file:x")
    assert type(found) is kind
    assert found.remedy and "/disk" in str(found)
