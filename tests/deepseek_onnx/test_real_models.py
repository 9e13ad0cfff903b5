"""Models that nobody here made: those that the onnx package carries for its own tests."""

from pathlib import Path

import onnx
import onnx.backend.test
import pytest
from onnx import numpy_helper
from three_ways import as_one, bits, cut, plainly, run_graph

from deepseek_core import errors
from deepseek_onnx.vendor_errors import FAULTS

DATA = Path(onnx.backend.test.__file__).parent / "data"


def read_inputs(path: Path, model: onnx.ModelProto) -> dict:
    stored = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in stored]
    values = {}
    for i, value in enumerate(given):
        content = (path.parent / "test_data_set_0" / f"input_{i}.pb").read_bytes()
        if value.type.WhichOneof("value") == "tensor_type":
            values[value.name] = numpy_helper.to_array(onnx.TensorProto.FromString(content))
        else:
            values[value.name] = numpy_helper.to_list(onnx.SequenceProto.FromString(content))
    return values


@pytest.mark.parametrize("folder", ["simple", "pytorch-converted", "pytorch-operator"])
def test_each_gives_the_runtime_s_own_numbers_whole_and_cut(cpu, folder):
    paths = sorted(DATA.glob(f"{folder}/*/model.onnx"))
    assert len(paths) >= 20
    compared = 0
    for path in paths:
        model = onnx.load(path)
        inputs = read_inputs(path, model)
        try:
            expected = bits(plainly(path, inputs))
        except FAULTS:  # too old an opset, mostly
            with pytest.raises(errors.DeepSeekError):
                as_one(cpu, path, inputs)
            continue
        assert bits(as_one(cpu, path, inputs)) == expected, path
        operators = sorted({node.op_type for node in model.graph.node})
        graph = cut(cpu, path, *operators[::2])
        assert bits(run_graph(cpu, graph, inputs)) == expected, path
        compared += 1
    assert compared >= 10
