"""Providers of vendors that are not there, do nothing, or load badly: rows with a reason."""

import _ctypes
import os
import subprocess
import sys

import attrs
import numpy as np
import onnxruntime
import pytest
from onnx_models import as_stage, perceptron
from provider_libraries import BODIES, COMPILER, compile_library, package

from deepseek_core import LoadOptions, OpenOptions, errors
from deepseek_onnx.provider import Provider
from deepseek_onnx.provider_device import ProviderExecutable
from deepseek_onnx.settings import ProviderSettings
from deepseek_onnx.vendor_errors import provider_error

pytestmark = pytest.mark.skipif(
    not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"),
    reason="this onnxruntime does not tell which provider ran what",
)
REMEDY = "pip install acme"
ACME = Provider(
    id="acme:0", kind="npu", name="AcmeExecutionProvider", library="acme_ep", remedy=REMEDY
)
SHIPPED = [
    "MIGraphXExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider",
    "CoreMLExecutionProvider", "QNNExecutionProvider", "NoSuchExecutionProvider",
]  # fmt: skip


def options(tmp_path, **settings):
    return OpenOptions(threads=1, cache_dir=tmp_path, settings=settings)


def row_of(provider):
    (row,) = provider.probe()
    return row


@pytest.mark.parametrize("name", SHIPPED)
def test_a_provider_that_this_build_lacks_is_a_row_with_the_reason(name, tmp_path):
    if name in onnxruntime.get_available_providers():
        pytest.skip(f"this build has {name}")
    provider = attrs.evolve(ACME, name=name, library=None)
    row = row_of(provider)
    assert (row.id, row.status, row.remedy) == ("acme:0", "unavailable", REMEDY)
    assert row.reason == (
        f"this build of onnxruntime {onnxruntime.__version__} has "
        f"{', '.join(onnxruntime.get_available_providers())}, not {name}"
    )
    with pytest.raises(errors.DeviceUnavailable, match=f"not {name}"):
        provider.open("acme:0", options(tmp_path))


def test_a_provider_that_takes_nothing_is_no_device():
    """Azure's is in the official builds, and runs no operator of ONNX."""
    azure = attrs.evolve(ACME, name="AzureExecutionProvider", library=None)
    if azure.name not in onnxruntime.get_available_providers():
        pytest.skip("this build lacks it")
    row = row_of(azure)
    assert row.status == "unavailable"
    assert row.reason == (
        "AzureExecutionProvider is there, but loads no model: "
        "AzureExecutionProvider does not take Add"
    )


def test_a_build_that_does_not_tell_what_ran_where_is_not_trusted(monkeypatch):
    owner = next(
        kind
        for kind in onnxruntime.InferenceSession.__mro__
        if "get_provider_graph_assignment_info" in vars(kind)
    )
    monkeypatch.delattr(owner, "get_provider_graph_assignment_info")
    row = row_of(attrs.evolve(ACME, name="CPUExecutionProvider", library=None))
    assert "does not tell which provider ran what" in row.reason
    assert row.remedy == "pip install -U onnxruntime"


def test_a_simulator_is_called_one():
    simulated = attrs.evolve(ACME, library=None, evidence="emulator")
    assert row_of(simulated).evidence == "emulator"


def test_another_id_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(errors.DeviceUnavailable, match="no device 'acme:1'") as caught:
        ACME.open("acme:1", options(tmp_path))
    assert caught.value.remedy == "use acme:0"


def probed(folder, name):
    """The row of a provider in a library, as a process of its own sees it: (code, text)."""
    code = (
        "from deepseek_onnx.provider import Provider\n"
        f"provider = Provider(id='acme:0', kind='npu', name='AcmeExecutionProvider', "
        f"library={name!r}, remedy={REMEDY!r})\n"
        "(row,), again = provider.probe(), provider.probe()\n"
        "assert again == [row], again\n"
        "print(row.status, row.reason, row.remedy, sep='|')"
    )
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("gone", "cannot open shared object file"),
        ("text", "file too short"),
        ("no provider", "undefined symbol: CreateEpFactories"),
    ],
)
def test_a_library_that_is_none_is_a_row_with_the_loaders_words(what, reason, tmp_path):
    library = {"no provider": _ctypes.__file__}.get(what, tmp_path / f"{what}.so")
    if what == "text":
        library.write_text("hello")
    package(tmp_path, "acme_ep", library)
    code, text = probed(tmp_path, "acme_ep")
    assert code == 0
    assert text.startswith("unavailable|onnxruntime ")
    assert reason in text
    assert text.endswith(f"|pip install -U onnxruntime (or {REMEDY})")


def test_a_package_that_is_missing_or_names_no_library_is_told(tmp_path):
    (tmp_path / "empty_ep").mkdir()
    (tmp_path / "empty_ep" / "__init__.py").write_text("")
    for name, reason in (("nowhere_ep", "No module named"), ("empty_ep", "get_library_path")):
        code, text = probed(tmp_path, name)
        assert code == 0
        assert text.startswith(f"unavailable|{name} names no library of AcmeExecutionProvider: ")
        assert reason in text
        assert text.endswith(f"|{REMEDY}")


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("refuses", "the accelerator is on strike"),
        ("tells its name", ": AcmeExecutionProvider|"),  # QNN's provider is called as registered
        ("too new", "built for ONNX Runtime API 9999"),
        ("offers nothing", "AcmeExecutionProvider offers no device on this machine (CPU of "),
    ],
)
def test_a_library_that_refuses_or_offers_nothing_is_a_row_with_the_reason(what, reason, tmp_path):
    compile_library(tmp_path / "acme.so", BODIES[what])
    package(tmp_path, "acme_ep", tmp_path / "acme.so")
    code, text = probed(tmp_path, "acme_ep")
    assert code == 0
    assert text.startswith("unavailable|")
    assert reason in text


PLUGIN = """
from deepseek_core import DeviceSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [DeviceSpec(name="acme", kind="npu", factory="acme_plugin:open_device",
                       probe="acme_plugin:probe", requires=("acme_ep",), whole_formats=("onnx",))]


def provider():
    from deepseek_onnx.provider import Provider

    return Provider(id="acme:0", kind="npu", name="AcmeExecutionProvider", library="acme_ep",
                    remedy="pip install acme")


def probe():
    return provider().probe()


def open_device(device_id, options):
    return provider().open(device_id, options)
"""


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize(
    ("what", "status", "reason"),
    [
        ("crashes", "broken", "SIGSEGV"),
        ("exits", "broken", "3"),
        ("hangs", "broken", "did not"),
        ("refuses", "unavailable", "the accelerator is on strike"),
    ],
)
def test_a_library_that_ends_its_process_costs_its_own_row_only(what, status, reason, tmp_path):
    compile_library(tmp_path / "acme.so", BODIES[what])
    package(tmp_path, "acme_ep", tmp_path / "acme.so")
    (tmp_path / "acme_plugin.py").write_text(PLUGIN)
    info = tmp_path / "acme_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepseek_sdk.plugins.v1]\nacme = acme_plugin\n")
    perceptron_file = tmp_path / "model.onnx"
    perceptron_file.write_bytes(perceptron().SerializeToString())
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_PROBE_TIMEOUT": "8",
    }

    def ds(*words):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "deepseek_core", *words], env=environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    _, listed = ds("devices")
    (line,) = [line for line in listed.splitlines() if "acme" in line]
    assert status in line
    assert reason in line
    assert "->" in line  # a remedy
    code, told = ds("plan", str(perceptron_file))
    assert code == 0, told
    assert "onnx:cpu" in told


@pytest.mark.parametrize(
    "given",
    [{"provider_options": "a"}, {"provider_options": ["=1"]}, {"provider_options": [3]},
     {"provider_options": {"a": 1}}],
    ids=str,
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_refused(given):
    with pytest.raises(errors.ConfigError):
        ProviderSettings.of(given)


def test_options_of_a_provider_are_names_and_values_and_belong_to_its_costs():
    settings = ProviderSettings.of({"provider_options": ["a=1", "b=x=y", "c="]})
    assert settings.given() == {"a": "1", "b": "x=y", "c": ""}
    assert settings.changed() == ["provider_options=('a=1', 'b=x=y', 'c=')"]


@pytest.fixture
def loaded(cpu):
    """A session of the CPU's, with the manners of a provider's."""
    plain = cpu.load(as_stage(perceptron()), LoadOptions())
    return ProviderExecutable(plain.stage, "acme:0", plain._opened, only_ones)


def only_ones(array):
    return "is all ones" if (array == 1).all() else None


def test_what_fails_on_a_provider_blames_no_input(loaded):
    """So that the stage moves to another device, which may know better."""

    def told(error, width=8):
        x = np.ones((1, width), np.float32)
        return provider_error(error, loaded.stage, {"x": x}, "acme:0")

    assert type(told(RuntimeError("its own words"))) is errors.Unsupported
    assert "its own words" in str(told(RuntimeError("its own words")))
    assert type(told(RuntimeError("?"), width=9)) is errors.TensorMismatch
    assert type(told(MemoryError())) is errors.OutOfMemory


def test_inputs_that_it_is_not_given_are_refused_in_words_bound_or_not(loaded):
    x, y = np.ones((2, 8), np.float32), np.full((2, 8), 9, np.float32)
    with pytest.raises(errors.Unsupported, match="on these inputs: 'x' is all ones"):
        loaded.run({"x": x})
    call = loaded.bind({"x": x}, {"y": y})
    with pytest.raises(errors.Unsupported, match="on these inputs: 'x' is all ones"):
        call()
    assert (y == 9).all()
    x[...] = 2
    call()
    assert np.array_equal(y, loaded.run({"x": x})["y"])


def test_a_closed_one_refuses_bound_calls_too(loaded):
    x, y = np.zeros((2, 8), np.float32), np.zeros((2, 8), np.float32)
    call = loaded.bind({"x": x}, {"y": y})
    loaded.close()
    for late in (call, lambda: loaded.bind({"x": x}, {"y": y}), lambda: loaded.run({"x": x})):
        with pytest.raises(errors.DeviceClosed):
            late()


def test_what_does_not_fit_is_not_bound(loaded):
    x, y = np.zeros((2, 8), np.float32), np.zeros((2, 8), np.float32)
    with pytest.raises(errors.TensorMismatch):
        loaded.bind({"x": x}, {"y": y.astype(np.float64)})
    y.flags.writeable = False
    with pytest.raises(errors.InputError, match="read-only"):
        loaded.bind({"x": x}, {"y": y})
