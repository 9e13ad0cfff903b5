"""Steps are checked against each other before anything is trained."""

import pytest
import recipe_kit as kit

from deepseek_compress.recipe.chain import chain_of
from deepseek_core import CompressorSpec, OpenedCompressor, compression, errors


def opener(**records):
    """Opens steps by the fields of their records."""

    def open_(name, options=None):
        fields = records[name]
        target = fields.get("target", "model")
        spec = CompressorSpec(name=name, factory="a.b:c", **{"target": target, **fields})
        return OpenedCompressor(spec=spec, compressor=kit.Copy(), options=options or {})

    return open_


def recipe(*steps, lower=(), **more):
    table = {"model": {"path": "m.onnx"}, "step": list(steps), "lower": list(lower), **more}
    return compression.Recipe.parse(table)


OPEN = opener(
    prune={"takes": "torch"},
    train={"takes": "torch", "needs": ("train",), "provides": ("ranges",)},
    ranged={"takes": "onnx", "needs": ("ranges",)},
    calibrated={"takes": "onnx", "needs": ("calibration",)},
    built={"takes": "onnx", "gives": "engine"},
    timed={"takes": "torch", "needs": ("latency",)},
    arrays={"target": "data"},
)


def faults(*steps, form="torch", lower=(), **more):
    with pytest.raises(errors.ConfigError) as refused:
        chain_of(recipe(*steps, lower=lower, **more), form, OPEN)
    return str(refused.value).splitlines()


def test_steps_that_fit_are_a_chain():
    made = chain_of(
        recipe("prune", "train", lower=["ranged", "calibrated"], data={"train": "a:b"}),
        "torch",
        OPEN,
    )
    assert [link.where for link in made.steps] == ["step[0]", "step[1]"]
    assert [link.name for link in made.targets] == ["ranged", "calibrated"]


def test_what_a_step_needs_must_come_before_it():
    assert "needs train" in faults("train")[0]
    assert "data.train" in faults("train")[0]
    assert "needs ranges" in faults("prune", lower=["ranged"])[0]
    assert "needs latency" in faults("timed")[0]


def test_a_step_of_modules_comes_before_those_of_files():
    assert "takes torch models, and what comes to it is onnx" in faults("prune", form="onnx")[0]
    assert faults("calibrated", "prune", data={"train": "a:b"})
    assert faults(lower=["prune"])


def test_a_compressor_of_arrays_is_no_step():
    assert "is for data" in faults("arrays")[0]


def test_every_fault_has_its_line():
    assert len(faults("train", "timed", "arrays")) == 1  # what can't be made is told first
    assert len(faults("train", "timed")) == 2


def test_a_target_that_stands_twice_has_two_names():
    made = chain_of(recipe(lower=["calibrated", "calibrated"], data={"train": "a:b"}), "onnx", OPEN)
    assert [link.name for link in made.targets] == ["calibrated", "calibrated_2"]


def test_a_target_begins_with_the_file_that_it_names():
    lower = ["calibrated", {"use": "built", "of": "calibrated"}, {"use": "built", "of": "fp32"}]
    made = chain_of(recipe(lower=lower, data={"train": "a:b"}), "onnx", OPEN)
    assert [(link.name, link.of) for link in made.targets] == [
        ("calibrated", ""), ("built", "calibrated"), ("built_2", "fp32"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lower", "said"),
    [
        (["built"], 'does not say which file it is made of: fp32 -> add of = "fp32"'),
        (["calibrated", "built"], 'fp32, calibrated -> add of = "calibrated"'),
        (
            ["calibrated", {"use": "built", "of": "calibrate"}],
            "is of 'calibrate', and before it come fp32, calibrated -> add of = \"calibrated\"",
        ),
        ([{"use": "built", "of": "calibrated"}, "calibrated"], 'add of = "fp32"'),
        (
            [{"use": "built", "of": "fp32"}, {"use": "calibrated", "of": "built"}],
            "takes onnx models, and what comes to it is engine",
        ),
    ],
)
def test_a_target_of_no_file_is_refused_with_the_one_that_fits(lower, said):
    (fault,) = faults(form="onnx", lower=lower, data={"train": "a:b"})
    assert said in fault
