"""Our rules and NVIDIA's parser say the same of many models."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, defs
from onnx.numpy_helper import from_array
from rtx_library import builds, operators_known, parses, rtx, silent
from trt_models import ALL, NOT_BUILT, REFUSED, TAKEN, WRONG, Case, one

from deepseek_trt.borders import differing
from deepseek_trt.model.read import read_model
from deepseek_trt.problem import errors_of
from deepseek_trt.rules.checker import problems_of
from deepseek_trt.rules.element_types import NOT_BUILT as TYPES_NOT_BUILT
from deepseek_trt.rules.element_types import REFUSED as TYPES_REFUSED
from deepseek_trt.rules.operators import ITS_OWN, KNOWN
from deepseek_trt.words import words


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def refused_at(case_or_model, *stages, targets=("8.6",)):
    model = case_or_model.model if isinstance(case_or_model, Case) else case_or_model
    found = errors_of(problems_of(read_model(model), targets))
    return {problem.rule for problem in found if problem.stage in stages}


def test_the_corpus_is_as_wide_as_promised():
    assert len({case.name for case in ALL}) == len(ALL) >= 80


@named(TAKEN)
def test_what_the_rules_take_is_built(case):
    assert not refused_at(case, "read", "parse", "build", "value")
    assert builds(case.model)


@named(REFUSED)
def test_what_the_rules_refuse_is_refused_by_the_parser(case):
    assert case.rule in refused_at(case, "parse")
    assert not parses(case.model)


@named(NOT_BUILT)
def test_what_the_rules_say_is_not_built_is_parsed_and_not_built(case):
    assert not refused_at(case, "parse")
    assert case.rule in refused_at(case, "build")
    assert parses(case.model)
    assert not builds(case.model)


@named(WRONG)
def test_what_only_the_rules_refuse_is_built_without_an_error(case):
    assert refused_at(case, "parse", "build", "value") == {case.rule}
    assert builds(case.model)


def test_the_parser_knows_the_operators_of_the_table_and_no_others():
    known = {schema.name for schema in defs.get_all_schemas_with_history() if not schema.domain}
    asked = known | KNOWN | ITS_OWN
    assert operators_known(asked) == KNOWN | ITS_OWN


_ONE_INPUT = sorted(
    words(
        """
        Abs Acos Ceil Cos Elu Erf Exp Floor HardSwish Hardmax IsNaN Log LogSoftmax
        LpNormalization Mish Neg Not Reciprocal Relu Round Shrink Sigmoid Sign Sin Softmax
        Softplus Sqrt Tan Tanh GlobalAveragePool GlobalMaxPool ArgMax Flatten Transpose Gelu
        ThresholdedRelu Selu Celu
        """
    )
)
_TYPES = ("FLOAT", "FLOAT16", "BFLOAT16", "INT32", "INT64", "BOOL", "UINT8", "INT8")
_GIVES = {"IsNaN": TensorProto.BOOL, "ArgMax": TensorProto.INT64}


@pytest.mark.parametrize("operator", _ONE_INPUT)
def test_the_parser_takes_the_element_types_of_the_table(operator):
    for name in _TYPES:
        kind = TensorProto.DataType.Value(name)
        model = one(operator, kind, (2, 4, 4, 4), _GIVES.get(operator, kind), opset=20)
        refused = kind in TYPES_REFUSED.get(operator, ())
        assert parses(model) is not refused, name
        if not refused and kind == TensorProto.INT8:
            assert builds(model) is (kind not in TYPES_NOT_BUILT.get(operator, ())), name


def test_rules_and_parser_agree_on_the_node_suite_of_onnx(node_suite):
    assert len(node_suite) > 1500
    found = disagreements(case.model for case in node_suite.values())
    assert len(found) <= tolerated(len(node_suite)), found


def test_they_agree_when_all_inputs_but_the_first_are_constants(node_suite):
    models = [fixed for case in node_suite.values() if (fixed := with_constants(case)) is not None]
    assert len(models) > 1000
    found = disagreements(models)
    assert len(found) <= tolerated(len(models)), found


def disagreements(models) -> set[str]:
    """Names of graphs that one refuses and the other takes."""
    return {
        model.graph.name
        for model in models
        if bool(refused_at(model, "read", "parse")) is parses(model)
    }


def tolerated(asked: int) -> int:
    """None with the versions that the rules were made with; some in a hundred with others."""
    known = (onnx.__version__, rtx().identity.version) == ("1.23.2", "1.7.1.116")
    return 0 if known else asked // 50


def with_constants(case):
    """The model with its test data in the place of all inputs but the first; None if it has one."""
    inputs = list(case.model.graph.input)
    if len(inputs) < 2 or not case.data_sets:
        return None
    model = ModelProto.FromString(case.model.SerializeToString())
    for value, given in list(zip(inputs, case.data_sets[0][0], strict=False))[1:]:
        if not isinstance(given, np.ndarray | np.generic | TensorProto):
            return None
        tensor = given if isinstance(given, TensorProto) else from_array(np.asarray(given))
        model.graph.initializer.add().CopyFrom(tensor)
        model.graph.initializer[-1].name = value.name
    del model.graph.input[1:]
    return model


def test_what_leaves_an_engine_is_what_onnx_says_or_a_rule_tells(node_suite):
    asked = 0
    for name, case in node_suite.items():
        parsed = rtx().parse(case.model.SerializeToString(), silent)
        asked += parsed.accepted
        assert not differing(case.model, parsed.borders) or refused_at(case.model, "value"), name
    assert asked > 900


def test_rules_and_parser_agree_on_models_of_packages(corpus_folder: Path):
    files = sorted(corpus_folder.rglob("*.onnx"))
    assert len(files) > 40
    for path in files:
        model = read_model(path)
        assert bool(refused_at(model, "read", "parse")) is not parses(model), path.name


@pytest.fixture(scope="module")
def node_suite():
    rtx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return {case.name: case for case in collect_testcases(None) if case.model}


@pytest.fixture
def corpus_folder() -> Path:
    import sys

    folder = Path(sys.prefix) / "corpus"
    if not folder.is_dir():
        pytest.skip("the packages of the corpus are not installed: make corpus")
    return folder
