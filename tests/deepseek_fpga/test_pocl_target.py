"""The name of the CPU is replaced where PoCL keeps it, and nowhere else."""

import ctypes
import gc
import importlib.util

import pytest

from deepseek_fpga import pocl_target

GENERIC = ctypes.create_string_buffer(b"generic")


def structure(*bytes_with_the_name):
    """A device's structure with pointers to the name at these bytes."""
    words = (ctypes.c_uint64 * 512)()
    for place in bytes_with_the_name:
        words[place // 8] = ctypes.addressof(GENERIC)
    return words


def name_at(words, byte):
    return ctypes.c_char_p(words[byte // 8]).value


# What lies behind the structure on the heap may point to the name too.
@pytest.mark.parametrize("others", [(), (1088,), (8, 1088)])
def test_the_usual_place_is_replaced_whatever_else_points_to_the_name(others):
    words = structure(640, *others)
    assert pocl_target._replace_name(ctypes.addressof(words), "generic", "haswell")
    assert name_at(words, 640) == b"haswell"
    assert all(name_at(words, other) == b"generic" for other in others)


def test_a_single_pointer_elsewhere_is_replaced():
    words = structure(720)
    assert pocl_target._replace_name(ctypes.addressof(words), "generic", "haswell")
    assert name_at(words, 720) == b"haswell"


@pytest.mark.parametrize("places", [(), (8, 1088)])
def test_nothing_is_touched_in_doubt(places):
    words = structure(*places)
    before = bytes(words)
    assert not pocl_target._replace_name(ctypes.addressof(words), "generic", "haswell")
    assert bytes(words) == before


@pytest.mark.parametrize("leftover", [8, 1088])
def test_a_device_that_is_opened_again_is_left_alone(leftover):
    """Its own field says something else by then, and one pointer of somebody else is in reach."""
    words = structure(640, leftover)
    assert pocl_target._replace_name(ctypes.addressof(words), "generic", "haswell")
    assert not pocl_target._replace_name(ctypes.addressof(words), "generic", "haswell")
    assert name_at(words, 640) == b"haswell"
    assert name_at(words, leftover) == b"generic"


def test_the_name_outlives_the_module():
    """The driver's threads run until the process ends, after the interpreter has."""
    spec = importlib.util.spec_from_file_location("again", pocl_target.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = structure(640)
    assert module._replace_name(ctypes.addressof(words), "generic", "skylake-avx512")
    vars(module).clear()
    del module
    gc.collect()
    others = [ctypes.create_string_buffer(b"another", 15) for _ in range(1000)]
    assert name_at(words, 640) == b"skylake-avx512", len(others)


ZEN4 = "OpenCL 3.0 PoCL HSTR: pthread-x86_64-unknown-linux-gnu-znver3"


@pytest.mark.parametrize(
    ("flags", "unknown"), [({"avx2", "avx512f"}, True), ({"avx2"}, False), (set(), False)]
)
def test_a_cpu_with_more_than_its_name_says_is_unknown(flags, unknown, monkeypatch):
    """LLVM 14 takes Zen 4 for Zen 3, and its compiler died of 512-bit vectors."""
    monkeypatch.setattr(pocl_target, "host_flags", lambda: frozenset(flags))
    assert pocl_target.is_unknown_cpu("OpenCL 3.0 PoCL 3.0-rc2  Linux", ZEN4) is unknown
    assert not pocl_target.is_unknown_cpu("OpenCL 3.0 PoCL 6.0", ZEN4)
