"""Keys as paths: reversible, never too long, never two keys on one path."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepseek_core import Tier, errors
from deepseek_storage_local.names import CHUNK_NBYTES, folder_of, path_of, read_file, read_folder

PARTS = st.one_of(
    st.text(st.sampled_from("a.%+-obj25E/é权").filter(lambda c: c != "/"), min_size=1, max_size=12),
    st.text(min_size=1, max_size=300).filter(lambda t: "/" not in t),
    st.text(st.sampled_from("ab.%é权"), min_size=190, max_size=320),
)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def is_key(text):
    try:
        Tier.check_key(text)
    except errors.InputError:
        return False
    return True


def key_of(path):
    *folders, file = path.split("/")
    return "".join(map(read_folder, folders)) + read_file(file)


@given(KEYS.filter(is_key))
@example("a.obj/b")
@example(".hidden/.x")
@example("%25/%2E")
@example("x" * 200)
@example("x" * 201)
@example("." * 3 + "é" * 200)
@example("%" * 300)
def test_a_path_gives_its_key_back(key):
    path = path_of(key)
    assert key_of(path) == key
    for name in path.split("/"):
        assert 0 < len(name.encode()) <= 255
        assert not name.startswith(".")


@given(KEYS.filter(is_key))
def test_the_folder_of_a_prefix_is_on_the_way_to_its_keys(key):
    for cut in range(len(key)):
        folder, base = folder_of(key[:cut])
        assert path_of(key).startswith(folder)
        assert key[:cut].startswith(base)


def test_an_object_and_a_folder_of_one_name_do_not_meet():
    assert path_of("a") == "a.obj"
    assert path_of("a/b") == "a/b.obj"
    assert path_of("a.obj/b") == "a%2Eobj/b.obj"


def test_a_long_part_is_cut_between_characters():
    first, rest = path_of("é" * CHUNK_NBYTES).split("/")
    assert first == "é" * (CHUNK_NBYTES // 2) + "%+"
    assert rest == "é" * (CHUNK_NBYTES // 2) + ".obj"


@pytest.mark.parametrize("name", [".ds", ".x.obj", "lost+found.txt"])
def test_a_foreign_file_is_no_object(name):
    assert read_file(name) is None


@pytest.mark.parametrize("name", [".ds", ".Trash", "x.obj"])
def test_a_foreign_folder_holds_no_objects(name):
    assert read_folder(name) is None


@pytest.mark.parametrize(
    "key",
    ["", "/", "a//b", "a/", "/a", "..", "a/../b", "./a", "a\0b", "a\nb", "\ud800", "x" * 1025],
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(errors.InputError, match="is not a key") as caught:
        Tier.check_key(key)
    assert caught.value.remedy
