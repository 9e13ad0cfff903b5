"""A store is used like a dictionary of bytes."""

import shelve
import threading
from collections.abc import MutableMapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import KeyRefused, NotBytes

KEYS = ["a", "a/b", "b", "ü/é", "z"]


@pytest.fixture
def store(tmp_path):
    with Store.init(tmp_path / "store") as store:
        yield store


def test_a_store_is_a_dictionary_of_bytes(store):
    store["b"] = b"2"
    store["a"] = bytearray(b"1")
    assert "a" in store and "c" not in store and 7 not in store and None not in store
    assert store["a"] == b"1" and isinstance(store["a"], bytes)
    assert list(store) == ["a", "b"] and len(store) == 2
    del store["a"]
    assert list(store) == ["b"]
    for use in (lambda: store["a"], lambda: store.__delitem__("a"), lambda: store["a//b"]):
        with pytest.raises(KeyError):
            use()
    with pytest.raises(KeyError):
        del store["a//b"]
    with pytest.raises(KeyRefused):
        store["a//b"] = b""
    with pytest.raises(NotBytes):
        store["a"] = "text"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["set", "get", "del", "pop", "pop default", "setdefault", "in", "update", "popitem"]
            ),
            st.sampled_from(KEYS),
            st.binary(max_size=3),
        ),
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None)
def test_the_view_answers_as_a_dictionary_does(shared_store, steps):
    shared_store.objects.clear()
    ours, real = shared_store.objects, {}
    assert isinstance(ours, MutableMapping)
    for way, key, data in steps:
        answers = []
        for mapping in (ours, real):
            try:
                answers.append(_do(mapping, way, key, data))
            except KeyError:
                answers.append(KeyError)
        assert answers[0] == answers[1], (way, key)
        assert dict(ours) == real == dict(ours.items())
        assert list(ours) == sorted(real) and len(ours) == len(real)
        assert sorted(ours.values()) == sorted(real.values())


def _do(mapping, way, key, data):
    if way == "set":
        mapping[key] = data
    elif way == "get":
        return mapping.get(key, b"none"), mapping[key]
    elif way == "del":
        del mapping[key]
    elif way == "pop":
        return mapping.pop(key)
    elif way == "pop default":
        return mapping.pop(key, None)
    elif way == "setdefault":
        return mapping.setdefault(key, data)
    elif way == "update":
        mapping.update({key: data, "z": data})
    elif way == "popitem":
        first = min(mapping) if mapping else "none"
        return first, mapping.pop(first)
    return key in mapping


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    with Store.init(tmp_path_factory.mktemp("mapping") / "store") as store:
        yield store


def test_the_first_item_is_popped(store):
    store.objects.update({"b": b"2", "a": b"1"})
    assert store.objects.popitem() == ("a", b"1")
    assert store.objects.popitem() == ("b", b"2")
    with pytest.raises(KeyError):
        store.objects.popitem()


def test_exactly_one_of_many_pops_an_object_and_one_sets_it_first(store):
    popped, seen = [], set()

    def work(number):
        for key in KEYS:
            seen.add((key, store.objects.setdefault(key, b"%d" % number)))
        barrier.wait()
        for key in KEYS:
            if (data := store.objects.pop(key, None)) is not None:
                popped.append((key, data))

    barrier = threading.Barrier(8)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(popped) == sorted(seen) and len(popped) == len(KEYS)


def test_it_serves_where_a_dictionary_of_bytes_is_asked_for(store):
    class Keyed(shelve.Shelf):
        pass

    with Keyed(_Encoded(store.objects)) as shelf:
        shelf["config"] = {"epochs": 7}
        assert shelf["config"] == {"epochs": 7} and list(shelf) == ["config"]
    assert "config" in store


class _Encoded(MutableMapping):
    """Keys in bytes, as `shelve` gives them to a dbm."""

    def __init__(self, objects):
        self._objects = objects

    def __getitem__(self, key):
        return self._objects[key.decode()]

    def __setitem__(self, key, data):
        self._objects[key.decode()] = data

    def __delitem__(self, key):
        del self._objects[key.decode()]

    def __iter__(self):
        return (key.encode() for key in self._objects)

    def __len__(self):
        return len(self._objects)


def test_errors_of_the_view_are_both_ours_and_pythons(store):
    with pytest.raises(errors.ObjectMissing, match="there is no object 'a'"):
        del store["a"]
    with pytest.raises(errors.ObjectMissing):
        store.objects.pop("a")
    assert "ds:" in repr(store.objects)
