"""Flavors: which are here, and full TensorRT's own ways, tried on a library that stands in."""

import sys
import textwrap

import pytest
from rtx_library import parses, rtx, silent
from trt_models import TAKEN, one

from deepseek_core import errors
from deepseek_trt import BuildOptions, Profile, build
from deepseek_trt.backends import find
from deepseek_trt.backends.full import FullBackend, timing_name
from deepseek_trt.backends.messages import forwarding_to, logger_of, nodes_named
from deepseek_trt.building.build import identify
from deepseek_trt.doctor import check_flavors
from deepseek_trt.errors import LibraryMissing, ModelRefused
from deepseek_trt.gpu import Gpu, first_gpu

GPU = Gpu(name="NVIDIA A10", target="8.6", driver="570.1")


@pytest.fixture
def no_library(monkeypatch):
    monkeypatch.setattr(find, "find_spec", lambda name: None)


def smi(folder, monkeypatch, text, code=0):
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_a_flavor_that_is_not_installed_says_how_to_get_it(no_library):
    for flavor, extra in zip(find.flavors(), ("[tensorrt]", "[rtx]"), strict=True):
        assert not flavor.available
        assert extra in flavor.remedy
    with pytest.raises(LibraryMissing, match="not installed"):
        find.open_backend("tensorrt_rtx")
    with pytest.raises(LibraryMissing):
        build(one("Relu"), BuildOptions(targets="8.6"))


def test_doctor_has_a_row_for_each_flavor(no_library):
    found = list(check_flavors())
    assert [row.status for row in found] == ["ok", "ok"]
    assert all("not installed" in row.text and row.remedy for row in found)


def test_listing_flavors_imports_nothing_of_them():
    import subprocess

    code = (
        "import sys, deepseek_trt.hooks, deepseek_trt.doctor as d\n"
        "list(d.check_flavors())\n"
        "heavy = {'onnx', 'numpy', 'tensorrt', 'tensorrt_rtx_bindings'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_full_tensorrt_without_a_gpu_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(find, "find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    full = find.flavors()[0]
    assert "no NVIDIA GPU" in full.reason
    assert "--backend tensorrt_rtx" in full.remedy


def test_a_gpu_is_read_from_nvidia_smi(monkeypatch, tmp_path):
    smi(tmp_path, monkeypatch, "NVIDIA A10, 8.6, 570.1\\nNVIDIA T4, 7.5, 570.1\\n")
    assert first_gpu() == GPU


@pytest.mark.parametrize(("text", "code"), [("", 0), ("No devices were found", 6), ("a,b", 0)])
def test_no_gpu_is_read_from_anything_else(monkeypatch, tmp_path, text, code):
    smi(tmp_path, monkeypatch, text, code)
    assert first_gpu() is None


def test_timings_hold_for_one_device_version_and_driver():
    import attrs

    names = {timing_name(GPU, "10.1"), timing_name(GPU, "10.2")}
    names |= {
        timing_name(attrs.evolve(GPU, **{field: "9.9"}), "10.1")
        for field in ("name", "target", "driver")
    }
    assert len(names) == 5


def test_full_tensorrt_builds_for_its_own_gpu_also_where_no_timings_can_be_had(tmp_path):
    """The calls that both flavors share run for real; those of timing caches need a GPU."""
    full = FullBackend(rtx()._library.module, "10.1", GPU, tmp_path / "timings")
    assert (full.identity.targets, full.identity.device) == (("8.6",), "NVIDIA A10")
    assert full.parse(one("Relu").SerializeToString(), silent).accepted
    for _ in range(2):
        built = full.build(one("Relu").SerializeToString(), BuildOptions(targets="8.6"), silent)
        assert len(built.content) > 1000


def test_a_package_that_does_not_load_says_why(monkeypatch, tmp_path):
    package = tmp_path / "tensorrt_rtx_bindings"
    package.mkdir()
    (package / "__init__.py").write_text(
        textwrap.dedent("""
            raise ImportError("libtensorrt_rtx.so.1: cannot open shared object file")
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    identify.cache_clear()
    with pytest.raises(LibraryMissing, match="cannot open shared object file") as told:
        identify("tensorrt_rtx")
    assert "--force-reinstall" in told.value.remedy
    identify.cache_clear()


def test_the_library_identifies_itself():
    assert identify("tensorrt_rtx") == rtx().identity


@pytest.mark.parametrize("target", ["7.5", "8.0", "8.6", "8.9", "12.0"])
def test_engines_are_built_for_each_target_and_are_the_same_each_time(target):
    conv = next(case.model for case in TAKEN if case.name == "conv_quantized_per_channel")
    options = BuildOptions(targets=target)
    content = conv.SerializeToString()
    first, second = (rtx().build(content, options, silent).content for _ in range(2))
    assert first == second
    assert len(first) > 1000


def test_engines_for_different_targets_differ():
    content = one("Relu").SerializeToString()
    built = {
        rtx().build(content, BuildOptions(targets=t), silent).content
        for t in ("8.6", "8.9", "8.6,8.9")
    }
    assert len(built) == 3


def test_a_dynamic_input_is_built_with_its_profile():
    options = BuildOptions(targets="8.6", profiles=[Profile.parse("x=1x3x4:2x3x4:8x3x4")])
    engine = build(one("Relu", shape=("n", 3, 4)), options, backend="tensorrt_rtx")
    assert engine.manifest.borders[0].shape == (-1, 3, 4)
    assert not engine.manifest.simulated


def test_sizes_that_come_in_are_built_with_their_values():
    from trt_models import I64, X, model, node

    sized = model([node("Reshape", ["x", "s"], ["y"])], [*X, ("s", I64, [2])])
    options = BuildOptions(targets="8.6", profiles=[Profile.parse("s=@4x6")])
    assert build(sized, options, backend="tensorrt_rtx").manifest.nbytes > 1000


def test_what_the_parser_refuses_names_the_node():
    rtx()
    from trt_models import X, model, node

    unheard = model([node("Unheard", ["x"], ["y"], name="it")], X)
    with pytest.raises(ModelRefused) as told:
        build(unheard, BuildOptions(targets="8.6"), backend="tensorrt_rtx", force=True)
    assert told.value.nodes == ("it",)
    assert "it (Unheard)" in told.value.message


def test_what_the_builder_refuses_names_the_node_from_the_log():
    import numpy as np
    from trt_models import two

    rtx()
    product = two("MatMul", np.ones((4, 5), np.float32))
    options = BuildOptions(targets="7.5")
    with pytest.raises(errors.CompileError) as told:
        build(product, options, backend="tensorrt_rtx", force=True)
    assert told.value.nodes == ("it",)
    assert "FP32 GEMM is not supported" in told.value.log


def test_the_logger_of_a_library_is_one_and_forwards_to_the_current_call():
    library = rtx()._library.module
    first, second = [], []
    logger = logger_of(library)
    with forwarding_to(lambda _severity, text: first.append(text)):
        assert not parses_now(library, logger, b"no model")
    with forwarding_to(lambda _severity, text: second.append(text)):
        assert not parses_now(library, logger, b"no model")
    assert logger_of(library) is logger
    assert first == second != []
    assert parses(one("Relu"))


def parses_now(library, logger, content: bytes) -> bool:
    network = library.Builder(logger).create_network(1)
    return library.OnnxParser(network, logger).parse(content)


def test_nodes_are_found_in_a_log_as_whole_words():
    log = "Cannot compile operation 'conv_1' for it (SM75): [conv_12] is fine, x/y too"
    names = ["x/y", "conv", "conv_1", "conv_12", "SM"]
    assert nodes_named(names, log) == ("x/y", "conv_1", "conv_12")
