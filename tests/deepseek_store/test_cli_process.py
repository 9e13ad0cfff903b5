"""The command as processes of its own: pipes, Ctrl-C, servers, and what an import costs."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from deepseek_store import Store
from deepseek_store.report.status import look

COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "import sys; from deepseek_core.cli.main import main; sys.exit(main())",
)
LIMIT_S = 60


@contextlib.contextmanager
def start(*words, **options):
    """A command that is killed where the test has failed to end it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, "store", *map(str, words)], **(pipes | options)) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def home(tmp_path):
    with Store.init(tmp_path / "home") as store:
        store.put("big", os.urandom(1 << 20) * 8)
        store.put("small", b"x")
    return tmp_path / "home"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_error(home, unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with start("get", home, "big", "-", env=environment) as process:
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.wait(LIMIT_S) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_large_object_passes_a_pipe_whole(home, unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with start("get", home, "big", "-", env=environment) as process:
        data, _ = process.communicate(timeout=LIMIT_S)
    with Store(home) as store:
        assert data == store.get("big")


def test_ctrl_c_leaves_no_half_object_and_no_lock(home):
    with start("put", home, "half", "-") as process:
        process.stdin.write(os.urandom(9 << 20))  # two chunks are stored, a third has begun
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert b"stopped by Ctrl-C" in told
    assert b"Traceback" not in told
    with Store(home) as store:
        assert [info.key for info in store.list()] == ["big", "small"]


def test_a_fifo_that_nobody_reads_is_told_and_ctrl_c_ends_it(home, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with start("get", home, "big", tmp_path / "pipe") as process:
        assert process.stderr.readline().startswith(b"note: nobody reads the FIFO ")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert told == b"error: stopped by Ctrl-C\n"
    with (
        start("get", home, "big", tmp_path / "pipe") as process,
        Store(home, shared=True) as store,
    ):
        assert process.stderr.readline().startswith(b"note: ")
        assert (tmp_path / "pipe").read_bytes() == store.get("big")
        assert process.wait(LIMIT_S) == 0


def test_a_socket_is_no_place_to_write_to(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as mine:
        mine.bind("mine")
        with start("get", home, "big", "mine") as process:
            _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert told.startswith(b"error: mine can't be written: No such device or address\nfix: ")


def ready(process):
    line = process.stdout.readline().decode()
    assert line.startswith("serving http://127.0.0.1:"), line
    return line.split()[1]


def read(url):
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        return answer.read().decode()


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_metrics_are_served_beside_a_writer_until_the_server_is_stopped(home, how, code):
    words = ("serve-metrics", home, "--port", "0", "--every", "0")
    with start(*words) as process:
        url = ready(process)
        assert 'deepseek_store_objects{tier="hot"} 2.0\n' in read(url)
        with Store(home, shared=True) as store:
            store.put("third", b"x")
        assert 'deepseek_store_objects{tier="hot"} 3.0\n' in read(url)
        process.send_signal(how)
        _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code
    assert b"Traceback" not in told
    with Store(home) as store:
        assert len(store) == 3


def test_a_server_that_moves_collects_what_was_deleted(home):
    with Store(home) as store:
        store.delete("big")
    words = ("serve-metrics", home, "--port", "0", "--move", "--tick", "0.05", "--every", "0")
    with start(*words) as process:
        url = ready(process)
        while any(path.stat().st_size > 8 << 20 for path in (home / "log").glob("segment-*")):
            assert process.poll() is None
            read(url)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)
    with Store(home) as store:
        ticks = [tick for entry in look(store).entries for tick in entry.ticks]
    assert sum(tick["freed_nbytes"] for tick in ticks) > 8 << 20


def test_a_port_that_is_taken_is_told(home):
    with start("serve-metrics", home, "--shared", "--port", "0") as first:
        port = ready(first).rpartition(":")[2].partition("/")[0]
        with start("serve-metrics", home, "--shared", "--port", port) as second:
            _, told = second.communicate(timeout=LIMIT_S)
        assert second.returncode == 2
        assert b"can't be listened on" in told
        assert b"--port" in told
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=LIMIT_S)


CODE = """
import json, sys
from deepseek_core.cli.main import main
code = main({words})
print(json.dumps([code, sorted(n for n in sys.modules if n.partition(".")[0] in {watched})]))
"""


def modules_after(words, watched):
    code = CODE.replace("{words}", repr(words)).replace("{watched}", repr(set(watched)))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    found, names = json.loads(done.stdout.splitlines()[-1])
    assert found == 0
    return set(names)


def test_a_listing_of_plugins_imports_the_hooks_alone():
    names = modules_after(["list-plugins"], ["deepseek_store"])
    assert names == {"deepseek_store", "deepseek_store.hooks"}


def test_help_imports_neither_store_nor_numbers():
    names = modules_after(
        ["store", "put", "--help"], ["deepseek_store", "numpy", "attrs", "xxhash"]
    )
    assert "deepseek_store.store" not in names
    assert "numpy" not in names


def test_a_put_imports_no_heavy_library(home, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    words = ["store", "put", str(home), "k", str(tmp_path / "file")]
    heavy = {"torch", "sqlalchemy", "obstore", "fsspec", "rich", "pandas"}
    assert not modules_after(words, heavy)


def test_commands_work_beside_a_process_that_shares_the_store(home, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with Store(home, shared=True) as store:
        for words in (("put", home, "k", tmp_path / "file"), ("mv", home, "k", "m"), ("ls", home)):
            with start(*words) as process:
                told, _ = process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0
        assert told.split() == [b"big", b"m", b"small"]
        assert bytes(store.get("m")) == b"mine"
    with Store(home), start("ls", home) as process:
        _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert b"shared=True" in told


def test_a_reader_of_cat_that_leaves_is_no_error(home):
    with start("cat", home, "big", "big", "big") as process:
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.wait(LIMIT_S) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize("verb", ["put", "get", "sync"])
def test_ctrl_c_in_a_folder_ends_soon_and_leaves_no_part(home, tmp_path, verb):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6):
        with (source / f"{number}").open("wb") as file:
            file.truncate(60 << 20)
            file.write(b"x" * (1 << 20))
    if verb == "get":
        with start("put", home, "many", source, "-r", "-q") as process:
            process.communicate(timeout=LIMIT_S)
    words = {
        "put": ("put", home, "many", source, "-r"),
        "get": ("get", home, "many", tmp_path / "back", "-r"),
        "sync": ("sync", home, source, "ds://many"),
    }[verb]
    with start(*words) as process:
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=LIMIT_S)
    assert first.startswith(f"{verb}: ".encode())
    assert process.returncode == 130
    assert b"stopped by Ctrl-C" in told
    assert b"Traceback" not in told
    assert not list(tmp_path.rglob("*.part"))
    with Store(home) as store:
        whole = {info.nbytes for info in store.list("many/")}
    assert whole <= {60 << 20}


def test_progress_of_one_big_file_is_told_in_lines(home, tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(20 << 20)
    with start("put", home, "k", tmp_path / "big") as process:
        _, told = process.communicate(timeout=LIMIT_S)
    lines = told.decode().splitlines()
    assert lines[0].startswith("put: ")
    assert "/20.0 MiB " in lines[0]
    assert lines[-1] == "put: 20.0 MiB/20.0 MiB done"
    assert b"\x1b" not in told
    assert b"\r" not in told
    with start("put", home, "k", "-") as process:
        _, told = process.communicate(b"x" * (9 << 20), timeout=LIMIT_S)
    assert told.decode().splitlines()[-1] == "put: 9.0 MiB/9.0 MiB done"
    with start("put", home, "k", "-") as process:
        _, told = process.communicate(b"x" * 1000, timeout=LIMIT_S)
    assert told == b""


@pytest.mark.parametrize("words", [("get", "small", "-"), ("cat", "small"), ("put", "new", "-")])
def test_bytes_do_not_go_to_a_stream_that_is_closed(home, words):
    shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh"]
    command, *rest = words
    ran = subprocess.run(
        [*shell, *COMMAND, "store", command, str(home), *rest], stderr=subprocess.PIPE, check=False
    )
    assert ran.returncode == 2
    assert b"is closed\nfix: leave it open, or name a file\n" in ran.stderr
    with Store(home) as store:
        assert sorted(store) == ["big", "small"]


def test_what_is_only_told_may_have_nowhere_to_go(home):
    for command in ("ls", "status"):
        with start(command, home, stdout=None, preexec_fn=lambda: os.closerange(0, 2)) as process:
            assert process.wait(LIMIT_S) == 0


def test_a_full_disk_below_stdout_is_named(home):
    with Path("/dev/full").open("wb") as full, start("ls", home, stdout=full) as process:
        _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert told.startswith(b"error: No space left on device\n")
    assert b"pip" not in told
