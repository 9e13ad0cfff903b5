"""Local tiers: quota, locks, dead writers, direct I/O, ranges of kept files, profiles."""

import os
import pickle
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepseek_core import errors, open_tier
from deepseek_storage_local import direct, handles, medium
from deepseek_storage_local.vendor_errors import TierLocked

HOLD = """
import sys
from deepseek_storage_local.tier import open_tier
tier = open_tier(sys.argv[1])
print("ready", flush=True)
input()
"""
WRITE = """
import os, sys
from deepseek_storage_local import writing
from deepseek_storage_local.tier import open_tier
tier = open_tier(sys.argv[1])
def stop(*_):
    print("ready", flush=True)
    input()
writing.os.fdatasync = stop  # the object is written aside, and never gets further
tier.put_if_absent("victim", bytes(100_000))
"""


def test_the_core_opens_it_by_its_scheme(tmp_path):
    with open_tier((tmp_path / "x y").as_uri()) as tier:
        assert tier.put_if_absent("a", b"content")
    assert (tmp_path / "x y" / "a.obj").read_bytes() == b"content"


def test_a_tier_is_pickled_as_its_url(open_local):
    tier = open_local(domains=2)
    tier.put_if_absent("d1/x", b"content")
    with pickle.loads(pickle.dumps(tier)) as twin:
        assert (twin.url, twin.get("d1/x")) == (tier.url, b"content")


def test_objects_lie_where_their_keys_say(open_local, tmp_path):
    tier = open_local(domains=2)
    tier.put_if_absent("d1/stripes/0a/3", b"x")
    tier.put_if_absent("other/key", b"x")
    assert (tmp_path / "tier/d1/stripes/0a/3.obj").exists()
    assert (tmp_path / "tier/other/key.obj").exists()
    with pytest.raises(errors.InputError, match="name of a failure domain"):
        tier.put_if_absent("d1", b"x")


def test_a_domain_may_be_a_link_to_its_disk(open_local, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "tier").mkdir()
    (tmp_path / "tier" / "d0").symlink_to(tmp_path / "disk")
    tier = open_local(domains=1)
    tier.put_if_absent("d0/a/b", b"x")
    assert (tmp_path / "disk/a/b.obj").exists()
    assert [found.key for found in tier.list()] == ["d0/a/b"]


def test_a_quota_is_kept_and_given_back(open_local):
    tier = open_local(capacity="10k")
    assert tier.put_if_absent("a", bytes(6000))
    assert not tier.put_if_absent("a", bytes(4000))
    with pytest.raises(errors.TierFull, match="6000 of 10240 are taken"):
        tier.put_if_absent("b", bytes(6000))
    assert [found.key for found in tier.list()] == ["a"]
    assert tier.profile().free_nbytes == 4240
    tier.delete("a")
    assert tier.put_if_absent("b", bytes(10_240))
    assert tier.profile().free_nbytes == 0


def test_a_quota_sees_what_another_tier_deleted(open_local):
    first, second = open_local(capacity=1000), open_local(capacity=1000)
    first.put_if_absent("a", bytes(900))
    second.delete("a")
    assert first.put_if_absent("b", bytes(900))


def test_many_writers_share_a_quota(open_local):
    tier = open_local(capacity=10_000)

    def write(number):
        try:
            return tier.put_if_absent(f"{number}", bytes(900))
        except errors.TierFull:
            return False

    with ThreadPoolExecutor(16) as pool:
        wrote = sum(pool.map(write, range(32)))
    assert wrote == 11 == len(list(tier.list()))


def test_a_file_that_may_not_grow_is_a_full_tier(tmp_path):
    """The limit of a file's size stands for a disk's: the write fails halfway."""
    code = """
import resource, sys
from deepseek_core import errors
from deepseek_storage_local.tier import open_tier
tier = open_tier(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    tier.put_if_absent("large", bytes(4 << 20))
except errors.TierFull as error:
    print(error, [found.key for found in tier.list()], tier.put_if_absent("small", b"x"))
"""
    url = (tmp_path / "tier").as_uri()
    run = subprocess.run(
        [sys.executable, "-P", "-c", code, url], capture_output=True, text=True, check=False
    )
    assert "File too large" in run.stdout and run.stdout.endswith("[] True\n"), run.stderr
    assert not list((tmp_path / "tier/.ds/aside").iterdir())


def test_a_dead_writer_is_cleaned_up_and_a_living_one_is_not(open_local, tmp_path, in_child):
    url, aside = (tmp_path / "tier").as_uri(), tmp_path / "tier/.ds/aside"
    dead, living = in_child(WRITE, url), in_child(WRITE, url)
    assert len(list(aside.iterdir())) == 2
    dead.kill()
    dead.wait()
    tier = open_local()
    assert len(list(aside.iterdir())) == 1
    assert not list(tier.list())
    living.communicate("\n", timeout=30)
    assert tier.get("victim") == bytes(100_000)
    assert not list(aside.iterdir())


def test_several_processes_share_a_tier(open_local, tmp_path, in_child):
    tier = open_local()
    in_child(HOLD, tier.url)
    assert open_local().put_if_absent("x", b"x")
    assert tier.get("x") == b"x"


def test_one_that_wants_it_alone_is_told_who_has_it(open_local, tmp_path, in_child):
    child = in_child(HOLD, (tmp_path / "tier").as_uri())
    with pytest.raises(TierLocked, match=f"process {child.pid}") as caught:
        open_local(exclusive=1)
    assert caught.value.retryable and "close it there" in caught.value.remedy
    child.kill()
    child.wait()
    assert open_local(exclusive=1).put_if_absent("x", b"x")


def test_who_has_it_alone_keeps_all_others_out(open_local):
    first = open_local(exclusive=1)
    for options in ({}, {"exclusive": 1}):
        with pytest.raises(TierLocked, match=f"process {os.getpid()}"):
            open_local(**options)
    first.close()
    assert open_local().put_if_absent("x", b"x")


def test_a_file_that_another_tier_deleted_is_not_read_from_its_kept_descriptor(open_local):
    tier, other = open_local(), open_local()
    tier.put_if_absent("x", b"old")
    assert tier.get("x") == b"old"
    other.delete("x")
    with pytest.raises(errors.ObjectMissing):
        tier.get("x")
    other.put_if_absent("x", b"new")
    assert tier.get("x") == b"new"


def test_more_files_than_are_kept_open_are_read(open_local, monkeypatch, tmp_path):
    monkeypatch.setattr(handles, "_MOST", 8)
    tier = open_local()
    for number in range(50):
        tier.put_if_absent(f"{number}", f"{number}".encode())
    with ThreadPoolExecutor(8) as pool:
        numbers = [n % 50 for n in range(2000)]
        found = list(pool.map(lambda number: tier.get(f"{number}"), numbers))
    assert found == [f"{number}".encode() for number in numbers]
    links = list(Path("/proc/self/fd").iterdir())
    assert sum(_is_object_below(tmp_path, link) for link in links) <= 8


def test_of_more_domains_than_files_may_be_open_few_folders_are(open_local, monkeypatch, tmp_path):
    monkeypatch.setattr(handles, "_MOST", 8)
    tier = open_local(domains=40)
    keys = [f"{domain}/{number}" for number in range(3) for domain in tier.failure_domains]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda key: tier.put_if_absent(key, key.encode()), keys))
        assert list(pool.map(tier.get, keys)) == [key.encode() for key in keys]
    assert [found.key for found in tier.list()] == sorted(keys)
    assert tier.profile().evidence == "simulated"
    folders = [link for link in Path("/proc/self/fd").iterdir() if _is_folder_below(tmp_path, link)]
    assert len(folders) <= 8


def test_that_no_file_can_be_opened_is_told_as_that_and_makes_room(open_local):
    tier = open_local(domains=12)
    for domain in tier.failure_domains:
        tier.put_if_absent(f"{domain}/x", b"x")
        tier.get(f"{domain}/x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, hard))
    try:
        with pytest.raises(errors.TierUnavailable, match="Too many open files") as caught:
            tier.put_if_absent("d3/y", b"y")
        assert "ulimit -n" in str(caught.value.remedy)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(list(Path("/proc/self/fd").iterdir())) < used - 12
    assert tier.put_if_absent("d3/y", b"y")


def _is_folder_below(folder, link):
    try:
        found = link.readlink()
    except OSError:
        return False
    return found.is_dir() and found.is_relative_to(folder)


def _is_object_below(folder, link):
    """Other tests' tiers may still be open in this process."""
    try:
        file = link.readlink()
    except OSError:
        return False
    return file.suffix == ".obj" and file.is_relative_to(folder)


@pytest.mark.parametrize("nbytes", [0, 1, 4095, 4096, 4097, 3 * (1 << 20) + 5])
def test_direct_reads_and_writes_are_exact(open_local, nbytes):
    tier, content = open_local(direct=1), os.urandom(nbytes)
    assert tier.direct_refusal is None or "Invalid argument" in tier.direct_refusal
    tier.put_if_absent("x", content)
    assert tier.stat("x").nbytes == nbytes
    assert tier.get("x") == content
    last = max(0, nbytes - 1)
    for start, length in ((0, 1), (1, 4096), (4095, 2), (4096, 1 << 20), (last, 10)):
        assert tier.get("x", start, length) == content[start : start + length]


def test_direct_writes_leave_no_page_in_the_cache(open_local, tmp_path):
    tier = open_local(direct=1)
    if tier.direct_refusal:
        pytest.skip(tier.direct_refusal)
    tier.put_if_absent("x", bytes(1 << 20))
    tier.get("x")
    number = os.open(tmp_path / "tier/x.obj", os.O_RDONLY)
    try:
        found = os.preadv(number, [bytearray(4096)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        found = 0  # a read that may not wait for the disk finds nothing
    finally:
        os.close(number)
    assert found == 0


def test_where_direct_is_refused_the_reason_is_told(open_local, monkeypatch, caplog):
    """No file system here refuses, so blocks are made smaller than any disk takes."""
    monkeypatch.setattr(direct, "BLOCK_NBYTES", 100)
    tier = open_local(direct=1)
    assert tier.direct_refusal is not None and "Invalid argument" in tier.direct_refusal
    assert "direct=1 is not used" in caplog.text
    monkeypatch.undo()
    assert tier.put_if_absent("x", b"content")
    assert tier.get("x") == b"content"


def test_a_profile_is_usual_or_given(open_local):
    usual = open_local(profile="hdd").profile()
    assert (usual.medium, usual.latency_s, usual.bytes_per_s) == ("hdd", 8e-3, 1.5e8)
    assert usual.evidence == "hardware"
    assert 0 < usual.free_nbytes <= usual.capacity_nbytes
    given = open_local(profile="ssd", latency_ms=0.2, mb_per_s=900).profile()
    assert (given.medium, given.latency_s, given.bytes_per_s) == ("ssd", 2e-4, 9e8)


def test_domains_on_one_disk_only_stand_for_disks(open_local):
    assert open_local(domains=3).profile().evidence == "simulated"


def test_the_kernel_says_what_turns(tmp_path):
    for name, text in (("8:0", "1\n"), ("8:16", "0\n")):
        (tmp_path / name / "queue").mkdir(parents=True)
        (tmp_path / name / "queue" / "rotational").write_text(text)
    (tmp_path / "8:0" / "sda1").mkdir()
    (tmp_path / "8:1").symlink_to(tmp_path / "8:0" / "sda1")
    kinds = [medium.medium_of(os.makedev(*n), sysfs=tmp_path) for n in ((8, 0), (8, 1), (8, 16))]
    assert kinds == ["hdd", "hdd", "ssd"]
    assert medium.medium_of(os.makedev(0, 77), sysfs=tmp_path) == "ssd"


def test_many_domains_need_one_descriptor_each(open_local):
    before = len(list(Path("/proc/self/fd").iterdir()))
    tier = open_local(domains=60)
    for number in range(60):
        tier.put_if_absent(f"d{number}/stripes/1/{number}", b"x")
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 60 + 5
    assert len(list(tier.list())) == 60


def test_a_closed_tier_says_so(open_local):
    tier = open_local()
    tier.close()
    uses = (lambda: tier.get("x"), lambda: list(tier.list()), lambda: tier.put_if_absent("x", b""))
    for use in uses:
        with pytest.raises(errors.StorageError, match="is closed"):
            use()


def test_a_range_that_is_none_is_refused(open_local):
    tier = open_local()
    tier.put_if_absent("x", b"content")
    for start, nbytes in ((-1, None), (0, -1)):
        with pytest.raises(errors.InputError, match="no range"):
            tier.get("x", start, nbytes)


_READ = """
import sys
from deepseek_core import errors
from deepseek_storage_local.tier import open_tier
with open_tier(sys.argv[1]) as tier:
    print(tier.get("d0/key"), [each.key for each in tier.list()])
    try:
        tier.put_if_absent("d0/other", b"1")
    except errors.TierUnavailable as error:
        print(error.remedy)
"""


def test_a_tier_that_may_only_be_read_is_read(tmp_path, open_local):
    with open_local(domains=2) as tier:
        tier.put_if_absent("d0/key", b"data")
    folder = tmp_path / "tier"
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    # Root may write all the same: it goes without that right.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if not os.geteuid() else []
    try:
        done = subprocess.run(
            [*plain, sys.executable, "-c", _READ, f"{folder.as_uri()}?domains=2"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)
    assert done.stdout.splitlines() == ["b'data' ['d0/key']", "mount it for writing"], done.stderr
