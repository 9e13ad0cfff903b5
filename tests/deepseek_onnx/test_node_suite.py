"""The ONNX backend node tests on the CPU device, held two-sided."""

import re
import unittest
import warnings
from pathlib import Path

import attrs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests

from deepseek_core import Artifact, LoadOptions, OpenOptions, Stage, errors
from deepseek_onnx.device import DEVICE_ID, OnnxCpu, open_device
from deepseek_onnx.frontend import whole_model_stage

_LIST = Path(__file__).with_name("node_suite_expected_failures.txt")
# The list is exact for these; another version moves single tests either way.
_VERSIONS = ("1.23.2", "1.32.0")
_NODE = "OnnxBackendNodeModelTest"


@attrs.frozen
class Expected:
    """The committed list."""

    floors: dict[str, int]  # "node" and "all" -> how many must pass
    failures: tuple[re.Pattern[str], ...]
    either: tuple[re.Pattern[str], ...]

    def must_fail(self, name: str) -> bool:
        return not self.may_vary(name) and any(p.fullmatch(name) for p in self.failures)

    def may_vary(self, name: str) -> bool:
        return any(p.fullmatch(name) for p in self.either)


def read_expected() -> Expected:
    floors: dict[str, int] = {}
    patterns: dict[bool, list[re.Pattern[str]]] = {False: [], True: []}
    for line in _LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("floor "):
            _, what, count = line.split()
            floors[what] = int(count)
        elif line and not line.startswith("#"):
            pattern, _, reason = line.removeprefix("either ").partition("  ")
            assert reason.strip(), f"no reason given: {line}"
            patterns[line.startswith("either ")].append(re.compile(pattern))
    return Expected(floors, tuple(patterns[False]), tuple(patterns[True]))


def as_stage(model: onnx.ModelProto) -> Stage:
    """The model as one stage; a bare one where its inputs are no tensors of the SDK."""
    artifact = Artifact.from_bytes(model.SerializeToString(), format="onnx")
    try:
        return whole_model_stage(artifact)
    except errors.InputError:
        return Stage(
            name="model", kind="model", operations=(), inputs=(), outputs=(), artifact=artifact
        )


def suite(tmp_path: Path) -> dict[str, tuple[str, unittest.TestCase]]:
    """Test name -> category and test, all running on the CPU device."""
    device = open_device(DEVICE_ID, OpenOptions(threads=1, cache_dir=tmp_path))

    class Loaded(BackendRep):
        def __init__(self, model):
            constants = {tensor.name for tensor in model.graph.initializer}
            self.names = [v.name for v in model.graph.input if v.name not in constants]
            self.executable = device.load(as_stage(model), LoadOptions())

        def run(self, inputs, **_):
            arrays = [np.asarray(x) if isinstance(x, np.generic) else x for x in inputs]
            return list(self.executable.run(dict(zip(self.names, arrays, strict=False))).values())

    class OurBackend(Backend):
        @classmethod
        def prepare(cls, model, device="CPU", **_):
            return Loaded(model)

        @classmethod
        def supports_device(cls, device):
            return device == "CPU"

    cases = BackendTest(OurBackend, __name__).test_cases
    return {
        name: (kind, case(name))
        for kind, case in cases.items()
        if kind != "OnnxBackendRealModelTest"  # downloads models
        for name in dir(case)
        if name.startswith("test_") and name.endswith("_cpu")
    }


def run(case: unittest.TestCase, name: str) -> str | None:
    """None if it passed, else what went wrong."""
    try:
        getattr(case, name)()
    except unittest.SkipTest as skipped:
        return f"skipped: {skipped}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the test failed by it
        return f"{type(error).__name__}: {error}"
    return None


@attrs.frozen
class Outcome:
    category: str
    problem: str | None


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, Outcome]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference values divide by zero and overflow
        cases = suite(tmp_path_factory.mktemp("device"))
        return {name: Outcome(kind, run(case, name)) for name, (kind, case) in cases.items()}


def test_as_many_pass_as_promised(outcomes, capsys):
    node = [o.problem is None for o in outcomes.values() if o.category == _NODE]
    everything = [o.problem is None for o in outcomes.values()]
    with capsys.disabled():
        print(
            f"\nONNX backend tests on {DEVICE_ID}: node {sum(node)} of {len(node)}, "
            f"all {sum(everything)} of {len(everything)}"
        )
    floors = read_expected().floors
    assert sum(node) >= floors["node"]
    assert sum(everything) >= floors["all"]


@pytest.mark.skipif(
    (onnx.__version__, onnxruntime.__version__) != _VERSIONS,
    reason=f"the list is exact for onnx and onnxruntime {_VERSIONS} only",
)
def test_each_failure_is_listed_and_each_listed_test_fails(outcomes):
    expected = read_expected()
    unlisted = {
        name: outcome.problem
        for name, outcome in outcomes.items()
        if outcome.problem and not expected.must_fail(name) and not expected.may_vary(name)
    }
    surprises = [n for n, o in outcomes.items() if o.problem is None and expected.must_fail(n)]
    assert unlisted == {}
    assert surprises == []


def test_every_line_of_the_list_names_a_test(outcomes):
    expected = read_expected()
    for pattern in (*expected.failures, *expected.either):
        assert any(pattern.fullmatch(name) for name in outcomes), pattern.pattern


def test_support_agrees_with_what_loads(tmp_path):
    device = open_device(DEVICE_ID, OpenOptions(threads=1, cache_dir=tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference values divide by zero and overflow
        stages = {case.name: as_stage(case.model) for case in load_model_tests(kind="node")}
    described = {name: stage for name, stage in stages.items() if stage.operations}
    assert len(described) > 1700
    liars = {
        name: device.supports(stage.operations[0]).reason
        for name, stage in described.items()
        if all(device.supports(op) for op in stage.operations) != loads(device, stage)
    }
    assert liars == {}


def loads(device: OnnxCpu, stage: Stage) -> bool:
    try:
        device.load(stage, LoadOptions()).close()
    except errors.DeepSeekError:
        return False
    return True
