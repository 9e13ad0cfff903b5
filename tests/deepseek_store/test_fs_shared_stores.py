"""One open store for each home of a process; a forked child opens its own."""

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pytest
from fs_stores import quick_folder

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import StoreClosed, StoreLocked
from deepseek_store.fs.filesystem import DeepSeekFileSystem
from deepseek_store.fs.shared_stores import close_shared, open_shared


@pytest.fixture
def home():
    with quick_folder() as folder:
        home = os.path.realpath(folder / "store")
        Store.init(home).close()
        yield home
        close_shared(home)


def in_child(work):
    """What `work` returns in a forked child; the test fails if it raises."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=lambda: there.send(work()))
    child.start()
    there.close()
    try:
        return here.recv()
    finally:
        child.join()
        assert child.exitcode == 0


def test_all_threads_and_instances_share_one_store(home):
    found = []

    def look():
        found.append(DeepSeekFileSystem(home).store)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert found[0] is fsspec.filesystem("ds", home=home, shared=False).store


def test_a_store_that_its_user_has_open_is_lent(home):
    fs = DeepSeekFileSystem(home)
    with Store(home) as store:
        fs.pipe_file("a", b"content")
        assert fs.store is store
        assert bytes(store.get("a")) == b"content"
    assert fs.store is not store
    assert fs.cat_file("a") == b"content"


def test_a_store_that_nobody_holds_any_more_is_not_lent(home):
    store = Store(home, shared=True)
    first = id(store.parts)
    fs = DeepSeekFileSystem(home)
    assert id(fs.store.parts) == first
    store.close()
    del store
    gc.collect()
    fs.pipe_file("a", b"1")
    assert fs.close()
    assert not fs.close()
    assert fs.cat_file("a") == b"1"


def test_a_link_to_a_home_is_that_home(home, tmp_path):
    (tmp_path / "link").symlink_to(home)
    assert DeepSeekFileSystem(tmp_path / "link").store is open_shared(home, shared=True)


def test_a_forked_child_reads_and_writes_beside_its_parent(home):
    fs = DeepSeekFileSystem(home)
    fs.pipe_file("a", b"parent")

    def work():
        fs.pipe_file("b", b"child")
        return fs.cat_file("a"), fs.store.parts.opened.writer

    content, writer = in_child(work)
    assert content == b"parent"
    assert writer != fs.store.parts.opened.writer
    assert fs.cat_file("b") == b"child"
    fs.pipe_file("c", b"still")
    fs.close()
    assert fs.cat(["a", "b", "c"]) == {"a": b"parent", "b": b"child", "c": b"still"}


def test_a_child_never_writes_through_its_parents_store(home):
    with Store(home, shared=True) as store:
        store.put("a", b"1")

        def work():
            try:
                store.put("b", b"2")
            except StoreClosed as error:
                store.close()
                return str(error)

        assert "fork" in in_child(work)
        assert [info.key for info in store.list()] == ["a"]


def test_a_child_leaves_files_alone_that_its_parent_has_open(home):
    fs = DeepSeekFileSystem(home)
    with fs.open("a", "wb") as file:
        file.write(b"x" * 1_000_000)

        def work():
            with pytest.raises(errors.InputError):
                file.write(b"child's")
            file.close()
            return fs.exists("a")

        assert in_child(work) is False
        assert fs.store.parts.in_flight.first() is not None
        file.write(b"y")
    assert fs.cat_file("a") == b"x" * 1_000_000 + b"y"


def test_a_child_that_lives_on_does_not_keep_the_store_locked(home):
    context = multiprocessing.get_context("fork")
    store = Store(home)
    done = context.Event()
    child = context.Process(target=done.wait)
    child.start()
    try:
        store.close()
        Store(home).close()
    finally:
        done.set()
        child.join()


def test_beside_an_exclusive_store_a_child_is_told_what_to_do(home):
    fs = DeepSeekFileSystem(home, shared=False)
    fs.pipe_file("a", b"1")

    def work():
        try:
            fs.cat_file("a")
        except StoreLocked as error:
            return str(error)

    assert "shared=True" in in_child(work)


def test_a_process_that_ends_closes_what_it_opened(home):
    code = f"""
import fsspec
fs = fsspec.filesystem("ds", home={home!r})
fs.pipe_file("a", b"content")
fs.cat_file("a")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    names = {name.name.partition("-")[0] for name in (Path(home) / "log").glob("*.seg")}
    assert names == {"segment"}
    with Store(home) as store:
        assert store.parts.opened.truncated_nbytes == 0
        assert store.parts.heat.knows("a")


def test_importing_the_filesystem_imports_no_heavy_library():
    code = """
import sys, fsspec
fsspec.get_filesystem_class("ds")
print(sorted({"torch", "pandas", "pyarrow", "sqlalchemy", "obstore"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
