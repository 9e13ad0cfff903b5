"""Folders by put -r and get -r: all comes back as it was, the rest is told, nothing is escaped."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from deepseek_store import Store

AWAY = "setpriv"  # takes from root the right to read everything


@pytest.fixture
def store(cli):
    cli.init()
    return cli


@pytest.fixture
def top(tmp_path):
    folder = tmp_path / "top"
    folder.mkdir()
    return folder


def fill(folder, **files):
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def content(folder):
    """Each path with what it is."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))  # noqa: PTH115 - as it is
        else:
            found[name] = ("folder",) if path.is_dir() else ("file", path.read_bytes())
    return found


ODD = ("sp ace", "new\nline", "emoji😀", "עברית", "-dash", "*star", "[br]", "{b}", "back\\slash",
       'q"uote', "tab\t", "trail ", ".hidden", "~", "$HOME", "#", "%25", "\u00e9", "e\u0301",
       "A", "a", "l" * 255, "esc\x1b[2J", "x.ds-object", ":", "CON")  # fmt: skip


def test_odd_names_come_back(store, top, tmp_path):
    for name in ODD:
        fill(top, **{name: name.encode()})
    fill(top, **{"/".join(["deep"] * 200) + "/end": b"deep"})
    told = store.json("put", "k", top, "-r")
    assert len(told["objects"]) == len(ODD) + 1
    assert told["failed"] == []
    store("get", "k", tmp_path / "back", "-r")
    assert content(tmp_path / "back") == content(top)


def test_names_that_are_no_keys_are_told_and_the_rest_is_stored(store, top):
    fill(top, good=b"1", zgood=b"2")
    bad = os.fsencode(top) + b"/bad\xff"
    with open(bad, "wb") as file:  # noqa: PTH123 - no text
        file.write(b"x")
    os.mkdir(os.fsencode(top) + b"/folder\xfe")  # noqa: PTH102 - no text
    deep = top
    for _ in range(18):
        deep = deep / ("d" * 240)
    subprocess.run(["mkdir", "-p", deep.relative_to(top)], cwd=top, check=True)
    here = os.open(top, os.O_RDONLY)
    for part in deep.relative_to(top).parts:
        below = os.open(part, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    told = store.json("put", "k", top, "-r", code=1)
    assert [one["key"] for one in told["objects"]] == ["k/good", "k/zgood"]
    names = [one["name"] for one in told["failed"]]
    assert r"bad\xff" in names
    assert r"folder\xfe" in names
    assert told["failed_count"] == len(names) == 3
    shutil.rmtree(top)


def test_modes_times_and_empty_folders_come_back(store, top, tmp_path):
    fill(top, run=b"#!", secret=b"s", private__in=b"p", old=b"o")
    (top / "empty" / "inner").mkdir(parents=True)
    (top / "run").chmod(0o755)
    (top / "secret").chmod(0o600)
    (top / "private").chmod(0o700)
    (top / "empty" / "inner").chmod(0o500)
    os.utime(top / "old", ns=(1, 1_234_567_890_123_456_789))
    os.utime(top / "run", ns=(1, -5_500_000_001))
    os.utime(top / "empty" / "inner", ns=(1, 10**18))
    assert "2 folders" in store("put", "k", top, "-r")
    store("get", "k", tmp_path / "back", "-r")
    assert content(tmp_path / "back") == content(top)
    for path in top.rglob("*"):
        before, after = path.stat(), (tmp_path / "back" / path.relative_to(top)).stat()
        assert before.st_mode == after.st_mode, path
        if path.is_file() or path.name == "inner":
            assert before.st_mtime_ns == after.st_mtime_ns, path
    store("get", "k/run", tmp_path / "one")
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o755
    assert store("ls", "k", "-R").count("\n") == 4
    store("get", "k", tmp_path / "plain", "-r", "--no-mode", "--no-times")
    assert (tmp_path / "plain" / "secret").stat().st_mode & 0o777 != 0o600
    assert (tmp_path / "plain" / "old").stat().st_mtime > 1.5e9
    store("put", "bare", top, "-r", "--no-empty-dirs", "--no-mode", "--no-times")
    assert store.json("stat", "bare/old")["meta"] == {}
    with Store(store.home) as opened:
        assert not [one for one in opened.list("bare/") if one.key.endswith(".ds-folder")]


def test_what_the_filesystem_made_is_known_here_too(store, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("ds", home=str(store.home), skip_instance_cache=True)
    fs.makedirs("made/empty")
    fs.close()
    assert store("ls", "-R") == ""
    store("get", "made", tmp_path / "back", "-r")
    assert content(tmp_path / "back") == {"empty": ("folder",)}


def test_setuid_is_not_brought_back(store, top, tmp_path):
    fill(top, tool=b"x")
    (top / "tool").chmod(0o4755)
    store("put", "k", top, "-r")
    store("get", "k", tmp_path / "back", "-r")
    assert (tmp_path / "back" / "tool").stat().st_mode & 0o7777 == 0o755


def test_holes_come_back_as_holes(store, tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(30 << 20)
        file.seek(10 << 20)
        file.write(b"mid")
    if (tmp_path / "sparse").stat().st_blocks * 512 >= 30 << 20:
        pytest.skip("this file system keeps no holes")
    store("put", "k", tmp_path / "sparse")
    store("get", "k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sparse").read_bytes()
    assert (tmp_path / "back").stat().st_blocks * 512 < 1 << 20


@pytest.fixture
def others(top):
    """A folder with all that is not a file."""
    fill(top, a=b"1", deep__f=b"2")
    os.mkfifo(top / "deep" / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()  # noqa: PTH109 - a socket's path is short
    os.chdir(top)
    listener.bind("sock")
    os.chdir(here)
    listener.close()
    (top / "file-link").symlink_to("a")
    (top / "folder-link").symlink_to("deep")
    (top / "broken").symlink_to("nowhere")
    (top / "circle").symlink_to(".")
    (top / "out").symlink_to("/etc/hostname")
    return top


def test_what_is_no_file_is_skipped_by_name(store, others):
    told = store.json("put", "k", others, "-r")
    assert [one["key"] for one in told["objects"]] == ["k/a", "k/deep/f"]
    why = {one["name"]: one["why"] for one in told["skipped"]}
    assert why.pop("deep/pipe") == "FIFO"
    assert why.pop("sock") == "socket"
    assert set(why) == {"file-link", "folder-link", "broken", "circle", "out"}
    assert "skipped: circle: symbolic link (-L follows it" in store.err
    for name in ("deep/pipe", "sock"):
        store("put", "one", others / name, code=2)
        assert "is not a file, but a" in store.err


def test_links_are_followed_by_a_flag(store, others):
    told = store.json("put", "k", others, "-rL", "--exclude", "sock", code=1)
    found = [one["key"] for one in told["objects"]]
    assert found == ["k/a", "k/deep/f", "k/file-link", "k/folder-link/f", "k/out"]
    assert {one["name"] for one in told["failed"]} == {"broken", "circle"}


def test_links_are_kept_by_a_flag_and_do_not_lead_out(store, others, tmp_path):
    store("put", "k", others, "-r", "--links")
    told = store.json("get", "k", tmp_path / "back", "-r")
    assert [one["name"] for one in told["skipped"]] == ["k/out"]
    back = content(tmp_path / "back")
    assert back["circle"] == ("link", ".")
    assert back["broken"] == ("link", "nowhere")
    assert "out" not in back
    store("get", "k", tmp_path / "back", "-r", "--links")
    assert content(tmp_path / "back")["out"] == ("link", "/etc/hostname")


def test_a_link_on_the_command_line_is_followed(store, others, tmp_path):
    (tmp_path / "alias").symlink_to(others / "deep")
    assert [one["key"] for one in store.json("put", "k", tmp_path / "alias", "-r")["objects"]] == [
        "k/f"
    ]
    store("put", "one", others / "file-link")
    store("cat", "one")
    assert store.raw == b"1"


def test_what_can_not_be_read_is_told_and_the_rest_is_stored(store, top):
    fill(top, a=b"1", closed=b"2", secret__b=b"3", z=b"4")
    (top / "closed").chmod(0)
    (top / "secret").chmod(0)
    plain = []
    if os.geteuid() == 0:
        if shutil.which(AWAY) is None:
            pytest.skip(f"root reads everything, and there is no {AWAY}")
        plain = [AWAY, "--bounding-set=-dac_override,-dac_read_search"]
    command = [*plain, sys.executable, "-m", "deepseek_core", "store", "put", store.home, "k", top]
    done = subprocess.run(
        [*map(str, command), "-r", "-q"], capture_output=True, text=True, check=False
    )
    (top / "secret").chmod(0o700)
    assert done.returncode == 1
    assert "failed: secret: the folder can't be read" in done.stderr
    assert "closed: can't be read: Permission denied" in done.stderr
    assert "2 objects, 2 B, 2 failed" in done.stdout
    assert store("ls", "-R").split() == ["k/a", "k/z"]


def test_an_object_and_a_folder_of_one_name_both_come_back(store, top, tmp_path):
    with Store(store.home) as opened:
        for key in ("a", "a/b", "a/b/c", "a.ds-object", "z"):
            opened.put(key, key.encode())
    told = store.json("get", "/", tmp_path / "back", "-r")
    assert told["objects"] == 5
    assert {one["name"] for one in told["notes"]} == {"a", "a/b"}
    assert {name: one[1] for name, one in content(tmp_path / "back").items() if len(one) > 1} == {
        "a.ds-object.ds-object": b"a",
        "a.ds-object": b"a.ds-object",
        "a/b.ds-object": b"a/b",
        "a/b/c": b"a/b/c",
        "z": b"z",
    }
    fill(top, a__b=b"folder", **{"a.ds-object": b"object", "alone.ds-object": b"as it is"})
    store("put", "up", top, "-r")
    assert store("ls", "up", "-R").split() == ["up/a", "up/a/b", "up/alone.ds-object"]
    store("get", "up", tmp_path / "again", "-r")
    assert content(tmp_path / "again") == content(top)


def test_nothing_is_written_through_a_link_out_of_the_target(store, tmp_path):
    outside = tmp_path / "outside"
    fill(outside, passwd=b"old")
    back = tmp_path / "back"
    back.mkdir()
    (back / "folder").symlink_to(outside)
    (back / "file").symlink_to(outside / "passwd")
    fill(back, plain=b"a file")
    with Store(store.home) as opened:
        for key in ("folder/passwd", "file", "plain/below", "z"):
            opened.put(key, b"new")
    told = store.json("get", "/", back, "-r", code=1)
    assert told["objects"] == 2
    assert {one["name"] for one in told["failed"]} == {"folder/passwd", "plain/below"}
    assert (outside / "passwd").read_bytes() == b"old"
    assert list(outside.iterdir()) == [outside / "passwd"]
    assert not (back / "file").is_symlink()
    assert content(back)["z"] == ("file", b"new")
    assert not list(back.rglob("*.part"))


def test_a_device_is_written_into_and_not_replaced(store, tmp_path):
    fill(tmp_path, one=b"1")
    store("put", "k", tmp_path / "one")
    store("get", "k", "/dev/null")
    assert os.stat("/dev/null").st_rdev  # noqa: PTH116
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    store("get", "k", tmp_path / "pipe")
    reader.join(10)
    assert got == [b"1"]


def test_several_sources_keep_their_names(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, one=b"1", images__x=b"2", masks__x=b"3", masks__y__z=b"4", other__one=b"5")
    store("put", "k", "one", "images", "masks/", "-r")
    assert store("ls", "k", "-R").split() == ["k/images/x", "k/one", "k/x", "k/y/z"]
    told = store.json("put", "two/", "one", "other/one", "images", code=1)
    assert [one["key"] for one in told["objects"]] == ["two/one"]
    assert {one["name"] for one in told["failed"]} == {"other/one", "images"}
    store("put", "/", "images", "-r")
    store("cat", "x")
    assert store.raw == b"2"
    store("put", "k", "one", "none", code=2)
    assert "nothing was stored" in store.err


def test_filters_choose_by_the_first_rule_that_matches(store, top):
    names = ("a/png", "x.png", "x.txt", "tmp/x.png", "src/node_modules/y", "src/y.png")
    fill(top, **dict.fromkeys(names, b""))
    for words, found in (
        (["--include", "*.png"], ["k/src/y.png", "k/tmp/x.png", "k/x.png"]),
        (["--exclude", "tmp/", "--include", "*.png"], ["k/src/y.png", "k/x.png"]),
        (["--exclude", "node_modules", "--exclude", "/x.*"],
         ["k/a/png", "k/src/y.png", "k/tmp/x.png"]),
        (["--include", "/src/**.{png,jpg}"], ["k/src/y.png"]),
    ):  # fmt: skip
        store("put", "k", top, "-r", *words)
        assert store("ls", "k", "-R").split() == found
        store("rm", "k", "-r", "-q")
    store("put", "k", top, "-r", "--exclude", "[", code=2)


def test_the_store_does_not_swallow_itself(cli, tmp_path):
    top = tmp_path
    cli("init", "--warm", f"{top / 'disk'}?domains=3", "--set", "codes.warm=rs(2,1)",
        "--mirror", top / "mirror")  # fmt: skip
    fill(top, a=b"1", disk__mine=b"2")
    told = cli.json("put", "k", top, "-r")
    assert [one["key"] for one in told["objects"]] == ["k/a"]
    assert {one["name"] for one in told["skipped"]} == {"home", "disk", "mirror"}
    for words in (
        ("put", "k", cli.home, "-r"),
        ("put", "k", cli.home / "log", "-r"),
        ("get", "k", cli.home, "-r"),
        ("get", "k", top / "mirror" / "new", "-r"),
        ("sync", "ds://k", cli.home, "--delete"),
    ):
        cli(*words, code=2)
        assert "of the store itself" in cli.err


def test_a_file_that_changes_while_it_is_read_is_told(store, tmp_path):
    path = tmp_path / "growing"
    path.write_bytes(b"x" * (6 << 20))
    stop = threading.Event()

    def grow():
        with path.open("ab") as file:
            while not stop.is_set():
                file.write(b"y" * 10)
                file.flush()
                time.sleep(0)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        told = store.json("put", "k", path, code=1)
    finally:
        stop.set()
        writer.join()
    assert "changes while it is read" in told["failed"][0]["why"]
    assert store("ls") == ""
    store("put", "k", path)
    assert store.json("stat", "k")["nbytes"] == path.stat().st_size


def test_objects_that_are_damaged_are_told_and_the_rest_is_fetched(cli, tmp_path):
    cli("init")
    with Store(cli.home) as opened:
        opened.put("a", b"a" * 1000)
        opened.put("b", b"b" * 1000)
    (log,) = (cli.home / "log").glob("segment-*")
    log.write_bytes(log.read_bytes().replace(b"a" * 1000, b"a" * 999 + b"!"))
    told = cli.json("get", "/", tmp_path / "back", "-r", code=1)
    assert [one["name"] for one in told["failed"]] == ["a"]
    assert list(content(tmp_path / "back")) == ["b"]


def test_a_full_disk_ends_it_and_what_is_there_is_whole(store, tmp_path):
    with Store(store.home) as opened:
        for number in range(20):
            opened.put(f"k/{number:02}", bytes([number]) * 100_000)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a small disk")
    try:
        store("get", "k", small / "back", "-r", code=2)
        assert "No space left" in store.err
        assert "free space there" in store.err
        found = content(small / "back")
    finally:
        subprocess.run(["umount", small], check=True)
    assert found
    assert all(data == ("file", bytes([int(name)]) * 100_000) for name, data in found.items())


def test_a_snapshot_is_fetched_as_it_was(store, top, tmp_path):
    fill(top, a=b"1", b__c=b"2")
    store("put", "k", top, "-r")
    store("snapshot", "before")
    store("rm", "k", "-r", "-q")
    store("get", "k", tmp_path / "back", "-r", "--snapshot", "before")
    assert content(tmp_path / "back") == content(top)
    assert store("ls", "k", "--snapshot", "before").split() == ["k/a", "k/b/"]
    assert store("du", "--snapshot", "before", "-s") == "2\t/\n"
    store("ls", "--snapshot", "none", code=2)
