"""Programs of torch.export: read without torch, run on our streams; a file that lies is refused."""

import io
import json
import pickle
import random
import subprocess
import sys
import zipfile
from collections import OrderedDict
from inspect import signature

import attrs
import fake_gpu
import numpy as np
import pytest
from fake_cuda import FakeCuda

from deepseek_core import Artifact, LatencyClass, LoadOptions, ReadOptions, Support, errors
from deepseek_cuda.conformance_files import program
from deepseek_cuda.place import Place
from deepseek_cuda.torch_programs import vetting
from deepseek_cuda.torch_programs.archive import read_archive
from deepseek_cuda.torch_programs.frontend import ProgramFrontend
from deepseek_cuda.torch_programs.opener import ProgramOpener, find_torch
from deepseek_cuda.torch_programs.specs import size_text

torch = pytest.importorskip("torch", reason="pip install torch")

import host_torch  # noqa: E402 - after torch
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from deepseek_cuda.torch_programs import engine  # noqa: E402

PROGRAM = "models/model.json"
PLACE = Place(device_id="cuda:0", name="A100", capability=(8, 0), ordinal=0)


class Layer(torch.nn.Module):
    """A parameter, a buffer, a constant; y = relu(w x) * b * c."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.register_buffer("b", torch.arange(3.0))
        self.c = torch.tensor([2.0])

    def forward(self, x):
        return torch.relu(self.linear(x)) * self.b * self.c


class Nested(torch.nn.Module):
    """A dict of a reshaped input and another; it holds for more than five rows only."""

    def forward(self, x, both):
        if x.shape[0] > 5:
            return {"a": x.reshape(x.shape[0] // 2, -1), "b": [both["z"] + 1, both["z"]]}
        return {"a": x, "b": [both["z"], both["z"]]}


class Counts(torch.nn.Module):
    """Keeps a state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("n", torch.zeros(1))

    def forward(self, x):
        self.n.add_(1)
        return x + self.n


class CountsInAView(Counts):
    """Keeps it where only torch sees that."""

    def forward(self, x):
        self.n[0:1].add_(1)
        return x + self.n


class WritesIntoItsInput(torch.nn.Module):
    def forward(self, x):
        x.mul_(2)
        return x + 1


class InHalf(torch.nn.Module):
    def forward(self, x):
        return x.to(torch.bfloat16)


class Finds(torch.nn.Module):
    """Sizes that values decide, and the texts of torch's own assertions about them."""

    def forward(self, x):
        return torch.nonzero(x > 0), torch.sort(x).indices


class Scaled(torch.nn.Module):
    def forward(self, x, factor):
        return x * factor


class Branches(torch.nn.Module):
    """A body within a program."""

    def forward(self, x):
        with torch.no_grad():
            y = x + 1
        return torch.cond(x.sum() > 0, lambda v: v * 2, lambda v: v - 2, (y,))


class Computes(torch.nn.Module):
    """What a function makes of its inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


X = torch.ones(3, 4)


def exported(module, inputs, **how):
    stream = io.BytesIO()
    torch.export.save(torch.export.export(module.eval(), inputs, **how), stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def layer():
    """A module and its program, of any number of rows up to 64."""
    torch.manual_seed(0)
    module = Layer()
    rows = torch.export.Dim("rows", min=1, max=64)
    return module, exported(module, (torch.randn(2, 4),), dynamic_shapes={"x": {0: rows}})


@pytest.fixture(scope="module")
def nested():
    half = torch.export.Dim("half", min=3, max=100)
    inputs = torch.randn(8, 4), {"z": torch.ones(3, dtype=torch.int64)}
    return exported(Nested(), inputs, dynamic_shapes={"x": {0: 2 * half}, "both": {"z": None}})


def artifact(content):
    return Artifact.from_bytes(content, format="pt2")


def yes(_operation):
    return {"cuda:0": Support.yes()}


def graph_of(content):
    return ProgramFrontend().read(artifact(content), yes)


@pytest.fixture
def device(tmp_path):
    """A GPU whose torch computes on the host, in the memory of the fake driver."""
    opener = lambda api: ProgramOpener(PLACE, lambda: ("", ""), host_torch.HostTorch)  # noqa: E731
    device = fake_gpu.make_device(tmp_path, FakeCuda(), openers={"pt2": opener}, traced=True)
    yield device
    device.close()


def changed(content, name=PROGRAM, change=None, **more):
    """The file with one entry changed, and others added."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for info in old.infolist():
            root, _, entry = info.filename.partition("/")
            data = old.read(info)
            if entry == name and change is not None:
                data = change(data)
                if data is None:
                    continue
            new.writestr(info.filename, data)
        for entry, data in more.items():
            new.writestr(f"{root}/{entry}", data)
    return made.getvalue()


def edited(content, edit):
    """The file whose program `edit` changed."""

    def change(data):
        program = json.loads(data)
        edit(program)
        return json.dumps(program).encode()

    return changed(content, PROGRAM, change)


# -- reading -------------------------------------------------------------------------------------


def test_shapes_types_and_operators_are_those_of_the_program(layer):
    graph = graph_of(layer[1])
    (spec,), (made,) = graph.inputs, graph.output_specs
    assert (spec.name, spec.dtype, made.dtype) == ("x", "float32", "float32")
    symbol = spec.shape[0]
    assert isinstance(symbol, str) and spec.shape == (symbol, 4) and made.shape == (symbol, 3)
    (stage,) = graph.stages
    assert {op.name for op in stage.operations} >= {"aten.linear.default", "aten.relu.default"}
    assert stage.work.fixed_bytes == 4 * (12 + 3 + 3 + 1)
    assert graph.batch_text.startswith("not batched")


def test_nested_inputs_and_outputs_are_flat_here(nested):
    graph = graph_of(nested)
    assert [spec.name for spec in graph.inputs] == ["x", "both_z"]
    first, second, third = graph.output_specs
    assert graph.inputs[0].shape[0] == f"2*{first.shape[0]}"
    assert second.dtype == "int64" and third.name == "output_2", "an input that is handed through"


def batched(content):
    """The graph with the batch axis that its caller declares."""
    symbol = graph_of(content).inputs[0].shape[0]
    options = ReadOptions(supporters=yes, batch_axis=symbol)
    return ProgramFrontend().read_model(artifact(content), options)


def test_a_declared_batch_axis_is_the_callers(layer):
    graph = batched(layer[1])
    assert graph.is_batched and "declared" in graph.batch_text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("Symbol('s7', positive=True, integer=True)", "s7"),
        ("Mul(Integer(2), Symbol('s6', positive=True, integer=True))", "2*s6"),
        ("Add(Symbol('s6', integer=True), Integer(-1))", "s6+(-1)"),
        ("FloorDiv(Add(Symbol('s6'), Integer(1)), Integer(2))", "(s6+1)//2"),
        ("Max(Integer(1), Symbol('u0'))", "Max(1, u0)"),
    ],
)
def test_sizes_read_as_arithmetic(expression, text):
    assert vetting.expression(expression) == expression
    assert size_text(expression) == text


def test_reading_imports_no_torch(layer, tmp_path):
    file = tmp_path / "layer.pt2"
    file.write_bytes(layer[1])
    code = (
        "import sys\n"
        "from deepseek_core import Artifact, Support\n"
        "from deepseek_cuda.torch_programs.frontend import ProgramFrontend\n"
        "ProgramFrontend().read(Artifact.from_path(sys.argv[1]), lambda o: {'a': Support.yes()})\n"
        "print({'torch', 'numpy', 'pickle'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "set()"


# -- running -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 64])
def test_a_program_runs_on_the_device_as_torch_runs_it(device, layer, rows):
    (stage,) = graph_of(layer[1]).stages
    executable = device.load(stage, LoadOptions())
    x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
    (made,) = executable.run({"x": x}).values()
    with torch.no_grad():
        np.testing.assert_array_equal(made, layer[0](torch.from_numpy(x)).numpy())


def test_a_batch_that_is_declared_is_cut_where_memory_ends(tmp_path, layer):
    graph = batched(layer[1])
    asked = []

    def spoil(inputs):
        asked.append(inputs["x"].shape[0])
        if asked[-1] > 20:
            raise errors.OutOfMemory("full", device_id="cuda:0")

    opener = lambda api: ProgramOpener(PLACE, lambda: ("", ""), host_torch.HostTorch)  # noqa: E731
    device = fake_gpu.make_device(tmp_path, spoil=spoil, openers={"pt2": opener}, traced=True)
    x = np.ones((40, 4), np.float32)
    (made,) = device.load(graph.stages[0], LoadOptions()).run({"x": x}).values()
    assert made.shape == (40, 3) and asked == [40, 20, 20]
    device.close()


class Options(torch.nn.Module):
    """Values beside its tensors, as models of transformers have them."""

    def forward(self, x, mask=None, scale=2.0, mode="down", y=None, use_cache=True):
        return (x + y if mode == "up" else x - y) * scale, mask, x if use_cache else None


def test_values_that_an_export_made_constants_are_no_inputs_and_none_is_no_output(device):
    y = 2 * X
    graph = graph_of(exported(Options(), (X, None, 3.0, "up", y), kwargs={"use_cache": False}))
    assert [spec.name for spec in graph.inputs] == ["x", "y"]
    assert len(graph.output_specs) == 1
    (stage,) = graph.stages
    (found,) = device.load(stage, LoadOptions()).run({"x": X.numpy(), "y": y.numpy()}).values()
    assert np.array_equal(found, 9 * X.numpy())


@pytest.mark.parametrize("kind", ["collections.OrderedDict", "nobody.modeling_outputs.Answer"])
def test_outputs_in_a_class_are_flat_and_the_class_is_not_looked_up(device, kind):
    """OrderedDict, as of segmentation models; or a class of a package that is not here."""
    pair = Computes(lambda x: OrderedDict({"out/logits": x + 1, "größe": [x * 2, x * 3]}))
    content = exported(pair, (X,))
    content = edited(content, lambda program: rename(program, kind))
    (stage,) = graph_of(content).stages
    found = list(device.load(stage, LoadOptions()).run({"x": X.numpy()}).values())
    assert [array[0, 0] for array in found] == [2, 2, 3]


def rename(program, kind):
    call = program["graph_module"]["module_call_graph"][0]["signature"]
    assert "collections.OrderedDict" in call["out_spec"]
    call["out_spec"] = call["out_spec"].replace("collections.OrderedDict", kind)


def test_nested_inputs_reach_the_program_in_their_places(device, nested):
    (stage,) = graph_of(nested).stages
    executable = device.load(stage, LoadOptions())
    x, z = np.arange(40, dtype=np.float32).reshape(10, 4), np.array([5, 6, 7])
    first, second, third = executable.run({"both_z": z, "x": x}).values()
    np.testing.assert_array_equal(first, x.reshape(5, 8))
    np.testing.assert_array_equal(second, z + 1)
    np.testing.assert_array_equal(third, z)


@pytest.mark.parametrize("rows", [4, 7, 400])
def test_sizes_that_the_program_was_not_exported_for_are_the_callers(device, nested, rows):
    executable = device.load(graph_of(nested).stages[0], LoadOptions())
    with pytest.raises(errors.InputRejected, match="the program failed"):
        executable.run({"x": np.ones((rows, 4), np.float32), "both_z": np.ones(3, np.int64)})


def test_the_file_of_the_conformance_kit_is_what_torch_reads(device):
    executable = device.load(graph_of(program()).stages[0], LoadOptions())
    x = np.arange(-8, 4, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(executable.run({"x": x})["y"], np.maximum(x, 0))


def test_a_body_of_a_program_runs_as_well(device):
    content = exported(Branches(), (torch.randn(3),))
    executable = device.load(graph_of(content).stages[0], LoadOptions())
    for sign in (1, -1):
        x = sign * np.ones(3, np.float32)
        (made,) = executable.run({"x": x}).values()
        np.testing.assert_array_equal(made, (x + 1) * 2 if sign > 0 else (x + 1) - 2)


def test_sizes_that_values_decide_are_those_of_the_run(device):
    executable = device.load(
        graph_of(exported(Finds(), (torch.randn(6),))).stages[0], LoadOptions()
    )
    for x in ([1, -1, 2, 3, -4, 0], [-1] * 6):
        found, order = executable.run({"x": np.array(x, np.float32)}).values()
        np.testing.assert_array_equal(found[:, 0], np.flatnonzero(np.array(x) > 0))
        assert order.shape == (6,)


def test_all_of_a_program_is_placed_on_the_gpu(layer):
    """Parameters, buffers, constants and what it makes, by tensors without data."""
    program = engine.loaded(read_archive(artifact(layer[1])), "cuda:0")
    # Autograd asks CUDA for its devices, which this torch has not.
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        for store in (program.state_dict, program.constants):
            for name, value in store.items():
                fake = mode.from_tensor(value.detach())
                is_parameter = isinstance(value, torch.nn.Parameter)
                store[name] = torch.nn.Parameter(fake, False) if is_parameter else fake
        module = engine.placed_on(program, torch.device("cuda", 1))
        held = [*module.parameters(), *module.buffers()]
        assert len(held) >= 3 and {str(value.device) for value in held} == {"cuda:1"}
        made = module(torch.empty(5, 4, device="cuda:1"))
        assert (str(made.device), tuple(made.shape)) == ("cuda:1", (5, 3))


def test_the_real_torch_has_what_the_edge_calls():
    """A build without CUDA has the names; what they do shows on a GPU (`pytest -m cuda`)."""
    from deepseek_cuda.driver.tensors import DeviceTensor
    from deepseek_cuda.torch_programs import _edge

    assert {"stream_ptr", "device"} <= set(signature(torch.cuda.ExternalStream.__new__).parameters)
    place = _edge.CudaTorch(1)
    assert place.device == torch.device("cuda:1")
    described = _edge._Memory(DeviceTensor(4096, np.dtype(np.float32), (2, 3)))
    told = described.__cuda_array_interface__
    assert (told["shape"], told["typestr"], told["data"]) == ((2, 3), "<f4", (4096, False))
    if not torch.cuda.is_available():
        with pytest.raises((AssertionError, RuntimeError)):
            place.on(0)


def test_a_program_of_another_gpu_loads_on_this_one(device, layer):
    """Which device it was exported on says nothing of where it runs."""

    def elsewhere(value):
        if isinstance(value, dict):
            if set(value) == {"type", "index"}:
                value.update(type="cuda", index=7)
            for item in value.values():
                elsewhere(item)
        elif isinstance(value, list):
            for item in value:
                elsewhere(item)

    content = edited(layer[1], elsewhere)
    executable = device.load(graph_of(content).stages[0], LoadOptions())
    assert executable.run({"x": np.ones((2, 4), np.float32)})


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Counts(), "add_ writes into the buffer"),
        (WritesIntoItsInput(), "mul_ writes into the input"),
    ],
)
def test_a_program_that_keeps_a_state_is_refused_when_it_is_read(module, words):
    with pytest.raises(errors.ArtifactError, match=words) as caught:
        graph_of(exported(module, (torch.randn(2, 4),)))
    assert "return the new state" in caught.value.remedy


def test_a_state_that_only_torch_sees_is_refused_when_it_is_loaded(device):
    (stage,) = graph_of(exported(CountsInAView(), (torch.randn(2, 4),))).stages
    with pytest.raises(errors.Unsupported, match="the program changes n"):
        device.load(stage, LoadOptions())


def test_a_custom_operator_is_named():
    @torch.library.custom_op("acme::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    twice.register_fake(torch.empty_like)

    class Custom(torch.nn.Module):
        def forward(self, x):
            return torch.ops.acme.twice(x)

    with pytest.raises(errors.ArtifactError, match=r"torch\.ops\.acme\.twice\.default"):
        graph_of(exported(Custom(), (torch.randn(2),)))


def test_types_that_numpy_lacks_do_not_cross_the_border():
    with pytest.raises(errors.ArtifactError, match="bfloat16"):
        graph_of(exported(InHalf(), (torch.randn(2),)))


def test_a_number_that_is_no_constant_is_named():
    limits = {"x": None, "factor": torch.export.Dim.DYNAMIC}
    content = exported(Scaled(), (torch.randn(2), 3), dynamic_shapes=limits)
    with pytest.raises(errors.ArtifactError, match="input 'factor' is not a tensor") as caught:
        graph_of(content)
    assert "give it as a tensor" in caught.value.remedy


def test_nobody_who_runs_it_says_why(layer):
    answers = {"onnx:cpu": Support.no("no such operator"), "cuda:0": Support.no("no torch")}
    with pytest.raises(errors.NoDevice, match=r"onnx:cpu: .*no such operator") as caught:
        ProgramFrontend().read(artifact(layer[1]), lambda operation: answers)
    assert caught.value.refusals.keys() == answers.keys()


def test_without_cuda_in_torch_the_device_says_what_to_install(tmp_path, layer):
    reason, remedy = find_torch()
    if not reason:
        pytest.skip("this torch has CUDA")
    assert "was built without CUDA" in reason and "pip install torch" in remedy
    (stage,) = graph_of(layer[1]).stages
    device = fake_gpu.make_device(tmp_path, openers={"pt2": lambda api: ProgramOpener(PLACE)})
    assert "built without CUDA" in device.supports(stage.operations[0]).reason
    assert "built without CUDA" in device.supports_stage(stage, LatencyClass.OFFLINE).reason
    with pytest.raises(errors.Unsupported) as caught:
        device.load(stage, LoadOptions())
    assert caught.value.remedy == remedy
    device.close()


# -- files that lie ------------------------------------------------------------------------------


class Runs:
    """A pickle that does something when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


EVIL = "__import__('pathlib').Path(MARK).touch()"


def evil_target(program, code):
    node = program["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.serialization.os.system"
    node["inputs"] = [{"name": "x", "arg": {"as_string": "touch MARK"}, "kind": 1}]


def evil_shape(program, code):
    size = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0]
    size["as_expr"]["expr_str"] = code


def evil_range(program, code):
    program["range_constraints"] = {code: {"min_val": 1, "max_val": 2}}


def evil_guard(program, code):
    program["guards_code"] = [code]


def evil_name(program, code):
    text = json.dumps(program).replace('"relu"', json.dumps(f"relu; {code}"))
    program.clear()
    program.update(json.loads(text))


def evil_tree(program, code):
    enum = {"__enum__": True, "fqn": "antigravity:x", "name": "y"}
    call = program["graph_module"]["module_call_graph"][0]["signature"]
    leaf = {"type": None, "context": None, "children_spec": []}
    call["out_spec"] = json.dumps(
        [1, {"type": "builtins.dict", "context": json.dumps([enum]), "children_spec": [leaf]}]
    )


def evil_extension(program, code):
    program["graph_module"]["graph"]["nodes"][0]["target"] = "#evil.operator"


def evil_file(program, code):
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def evil_parameter(program, code):
    program["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = code


@pytest.mark.parametrize(
    "edit",
    [evil_target, evil_shape, evil_range, evil_guard, evil_name, evil_tree, evil_extension,
     evil_file, evil_parameter],
)  # fmt: skip
def test_code_in_a_program_is_never_run(layer, tmp_path, edit):
    mark = tmp_path / "mark"
    code = EVIL.replace("MARK", repr(str(mark)))
    content = edited(layer[1], lambda program: edit(program, code))
    with pytest.raises(errors.ArtifactError):
        graph_of(content)
    with pytest.raises(errors.ArtifactError):
        read_archive(artifact(content))
    assert not mark.exists()


def test_torch_itself_would_run_such_code(layer, tmp_path):
    """Why the rules are needed: what torch.export.load does with the pickle of example inputs."""
    mark = tmp_path / "mark"
    evil = changed(layer[1], "data/sample_inputs/model.pt", lambda _: _pickled(mark))
    with pytest.raises(Exception):  # noqa: B017 - whatever it says afterwards
        torch.export.load(io.BytesIO(evil))
    assert mark.exists()


def _pickled(mark):
    """As torch.save writes it, with an object that runs when it is read."""
    stream = io.BytesIO()
    torch.save({"x": Runs(mark)}, stream)
    return stream.getvalue()


def test_the_pickle_of_example_inputs_is_never_read(device, layer, tmp_path):
    mark = tmp_path / "mark"
    evil = changed(layer[1], "data/sample_inputs/model.pt", lambda _: _pickled(mark))
    executable = device.load(graph_of(evil).stages[0], LoadOptions())
    assert executable.run({"x": np.ones((2, 4), np.float32)})
    assert not mark.exists()


@pytest.mark.parametrize("prefix", ["tensor_0", "custom_obj_0", "opaque_obj_0"])
def test_pickled_tensors_and_objects_are_refused(layer, tmp_path, prefix):
    mark = tmp_path / "mark"

    def change(data):
        told = json.loads(data)
        row = told["config"]["c"]
        row.update(path_name=prefix, use_pickle=True)
        return json.dumps(told).encode()

    config = "data/constants/model_constants_config.json"
    evil = changed(
        layer[1], config, change, **{f"data/constants/{prefix}x": pickle.dumps(Runs(mark))}
    )
    with pytest.raises(errors.ArtifactError, match="pickled object"):
        graph_of(evil)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a whole file"),
        (b"PK\x03\x04" + bytes(100), "not a whole file"),
        (pickle.dumps({"a": 1}), "not a whole file"),
    ],
)
def test_what_is_no_such_file_is_told(content, words):
    with pytest.raises(errors.ArtifactError, match=words):
        graph_of(content)


def test_a_pickle_that_is_called_pt2_is_not_unpickled(tmp_path):
    mark = tmp_path / "mark"
    for content in (pickle.dumps(Runs(mark)), _pickled(mark)):
        with pytest.raises(errors.ArtifactError):
            graph_of(content)
    assert not mark.exists()


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_told(layer, cut):
    content = layer[1][: int(len(layer[1]) * cut)]
    with pytest.raises(errors.ArtifactError):
        graph_of(content)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (PROGRAM, lambda data: None, "holds the programs"),
        (PROGRAM, lambda data: b"{}", "not a whole file"),
        (PROGRAM, lambda data: b"[" * 10_000, "not a whole file"),
        ("archive_format", lambda data: b"torch", "not an archive of torch.export.save"),
        ("byteorder", lambda data: b"big", "not little-endian"),
        ("data/weights/weight_0", lambda data: None, "not a whole file"),
        ("data/weights/model_weights_config.json", lambda data: None, "it has no data/weights"),
    ],
)
def test_a_file_that_lacks_a_part_is_told(layer, name, change, words):
    with pytest.raises(errors.ArtifactError, match=words):
        graph_of(changed(layer[1], name, change))


def test_a_changed_weight_is_noticed(layer):
    """The zip's own sums; one whose bytes are fewer than its shape says is torch's to refuse."""
    with zipfile.ZipFile(io.BytesIO(layer[1])) as file:
        info = next(i for i in file.infolist() if i.filename.endswith("weights/weight_0"))
        raw = file.read(info)
    at = layer[1].index(raw)
    damaged = layer[1][:at] + bytes([raw[0] ^ 1]) + layer[1][at + 1 :]
    with pytest.raises(errors.ArtifactError, match="not a whole file"):
        read_archive(artifact(damaged))
    short = changed(layer[1], "data/weights/weight_0", lambda data: data[:8])
    with pytest.raises(errors.ArtifactError, match="does not load the program"):
        engine.loaded(read_archive(artifact(short)), "cuda:0")


def test_compiled_code_and_what_swells_is_refused(layer):
    with pytest.raises(errors.ArtifactError, match="compiled code"):
        graph_of(changed(layer[1], **{"data/aotinductor/model/x.so": b"\x7fELF"}))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("m/archive_format", "pt2")
    with pytest.raises(errors.ArtifactError, match="is packed"):
        graph_of(made.getvalue())


def test_an_older_or_newer_schema_is_told(layer):
    content = edited(layer[1], lambda program: program["schema_version"].update(major=9))
    with pytest.raises(errors.ArtifactError, match="its schema is 9, and 8 is read here"):
        graph_of(content)


def places(value, path=()):
    """Each place of a program, as keys from its root."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, item in value.items() if isinstance(value, dict) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_file_says_it_is_read_or_refused(layer, seed):
    """Twenty thousand more of such changes, by hand, ended no other way."""
    rng = random.Random(seed)
    for _ in range(10):
        if rng.random() < 0.3:
            damaged = bytearray(layer[1])
            for _ in range(rng.randint(1, 5)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            content = bytes(damaged)
        else:
            content = edited(layer[1], lambda program: spoil(program, rng))
        try:
            graph_of(content)
        except errors.ArtifactError as error:
            assert error.remedy


def spoil(program, rng):
    """Put something else in a place of a program, or take it out."""
    *path, last = rng.choice(list(places(program)))
    value = program
    for key in path:
        value = value[key]
    given = [None, -1, 0, 1e99, "x", EVIL, [], {}, True, [[]], 10**30, {"as_int": -3}]
    if rng.random() < 0.2:
        del value[last]
    else:
        value[last] = rng.choice(given)


def test_an_empty_file_is_no_tensor_of_any_size(layer):
    """torch would make as many zeros as it says."""
    content = changed(layer[1], "data/weights/weight_0", lambda data: b"")
    with pytest.raises(errors.ArtifactError, match=r"'linear\.weight' has no bytes"):
        graph_of(content)


@pytest.mark.parametrize("other", [Computes(lambda x: x + 9), Computes(lambda x: (x, x.sum()))])
def test_a_file_that_is_another_program_by_now_is_not_run(device, tmp_path, other):
    """Whoever planned it got another program's answers, or the GPU was blamed for its outputs."""
    file = tmp_path / "model.pt2"
    file.write_bytes(exported(Computes(lambda x: x + 1), (X,)))
    (stage,) = ProgramFrontend().read(Artifact.from_path(file), yes).stages
    carried = stage.artifact.carried()
    file.write_bytes(exported(other, (X,)))
    with pytest.raises(errors.ArtifactError, match="changed on disk") as caught:
        device.load(stage, LoadOptions())
    assert caught.value.remedy == "load it again"
    executable = device.load(attrs.evolve(stage, artifact=carried), LoadOptions())
    np.testing.assert_array_equal(executable.run({"x": X.numpy()})["add"], X.numpy() + 1)


# -- what a refusal says to do -------------------------------------------------------------------


class Scans(torch.nn.Module):
    def forward(self, x):
        from torch._higher_order_ops.scan import scan

        return scan(lambda c, r: (c + r, c * r), torch.zeros(4), x)


class Counted(torch.nn.Module):
    """A norm in training, which counts batches."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(x)

    def eval(self):
        return self


class Named(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("größe", torch.nn.Linear(4, 4))

    def forward(self, x):
        return self.größe(x)


REFUSED = {
    "complex": (Computes(torch.fft.fft), (X,), "torch.view_as_real"),
    "a loop": (Scans(), (X,), "torch.while_loop"),
    "counts": (Counted(), (X,), "model.eval"),
    "a number out": (Computes(lambda x: (x + 1, x.shape[0])), (X,), "return tensors only"),
    "a key": (Computes(lambda x: x["a b"] + 1), ({"a b": X},), "names of modules"),
    "a module": (Named(), (X,), "names of modules"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_what_to_change_and_not_to_export_the_same_again(name):
    module, inputs, told = REFUSED[name]
    with pytest.raises(errors.ArtifactError) as caught:
        graph_of(exported(module, inputs))
    assert told in caught.value.remedy
    assert "and export it again" in caught.value.remedy


def test_an_operator_of_somebodys_own_is_named_with_what_to_do():
    def own(program):
        program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.mine.twice.default"

    content = edited(exported(Computes(torch.relu), (X,)), own)
    with pytest.raises(errors.ArtifactError, match=r"mine\.twice") as caught:
        graph_of(content)
    assert "operators of torch" in caught.value.remedy
