"""A budget that is not met: told before training where it can be, with what comes nearest."""

import attrs
import pytest
import recipe_kit as kit

from deepseek_compress.errors import BudgetUnmet
from deepseek_compress.recipe import run as run_module
from deepseek_compress.recipe.plan import outlook
from deepseek_compress.recipe.verdict import (
    asked,
    excess,
    nearest,
    refuse_unmet,
    slower,
    tightest,
)
from deepseek_compress.report.rows import score, verdict_rows
from deepseek_core import compression

ACCURACY = compression.Metric()
RECALL, PSNR = compression.Metric(name="recall"), compression.Metric(name="psnr", unit="dB")
ORIGINAL = {"parameters": 1e6, "nbytes": 4e6, "accuracy": 0.95}


def rows(budget, **got):
    return compression.Budget.parse(budget).rows(ORIGINAL, got)


def variant(name):
    return compression.Variant(name=name, file=f"{name}.onnx", target=name, nbytes=1)


@pytest.mark.parametrize("recipe", [kit.RECIPE, kit.RECIPE.replace('"/1.5"', '"/9"')])
def test_steps_that_leave_too_much_are_refused_before_any_work(tmp_path, recipe, monkeypatch):
    if "/9" not in recipe:
        recipe = recipe.replace('[[step]]\nuse = "halve"\n', "")
    path = kit.write_recipe(tmp_path, recipe)
    monkeypatch.setattr(kit.Nudge, "apply", None)  # nothing is trained
    with kit.job_of(path) as job:
        with pytest.raises(BudgetUnmet, match="can't be met: parameters") as unmet:
            run_module.run(job, tmp_path / "out", resume=False, progress=kit.quiet)
        with pytest.raises(BudgetUnmet):
            outlook(job, kit.quiet)
    assert not (tmp_path / "out").exists()
    left = 30 if "/9" in recipe else 58
    assert unmet.value.closest == {"parameters": left}
    assert unmet.value.constraint == "parameters"
    assert f"ask for parameters = {left}" in unmet.value.remedy
    assert ('use = "prune"' in unmet.value.remedy) is ("/9" not in recipe)


def test_a_step_that_plans_by_what_an_earlier_one_gives_is_left_to_the_run(tmp_path, monkeypatch):
    path = kit.write_recipe(tmp_path, kit.RECIPE + '\n[[step]]\nuse = "nudge"\n')
    plan = kit.Halve.plan
    monkeypatch.setattr(
        kit.Halve, "plan", lambda *given: given[2].provided["noise"].read_text() and plan(*given)
    )
    with kit.job_of(path) as job:
        found = outlook(job, kit.quiet)
        assert [each.step for each in found.plans] == ["nudge"]
        assert found.unplanned[:2] == (
            "step[1] halve: it needs noise, which only a run makes",
            "step[2] nudge_2: a step before it is not planned",
        )
        report = run_module.run(job, tmp_path / "out", resume=False, progress=kit.quiet)
    assert report.steps[2].step == "halve"


def test_a_part_of_the_bytes_is_of_the_file_that_the_original_would_be(tmp_path):
    path = kit.write_recipe(tmp_path, kit.RECIPE.replace("[budget]", '[budget]\nnbytes = "/1.2"'))
    with kit.job_of(path) as job:
        report = run_module.run(job, tmp_path / "out", resume=False, progress=kit.quiet)
        job.export(job.source.model, tmp_path / "original.onnx")
    (row,) = [row for row in report.verdict if row.name == "nbytes"]
    assert row.bound == pytest.approx((tmp_path / "original.onnx").stat().st_size / 1.2)
    assert row.got == (tmp_path / "out" / "model.copy.onnx").stat().st_size
    assert row.outcome == "holds"


def test_the_tightest_line_fails_by_most_of_what_it_allows():
    budget = {"nbytes": "/4", "accuracy_drop": 1.0, "accuracy": 0.9}
    found = rows(budget, nbytes=1.5e6, accuracy=0.92)
    assert [round(excess(row, ACCURACY), 3) for row in found] == [0.5, 2.0, 0.0]
    assert tightest(found, ACCURACY).name == "accuracy_drop"
    assert excess(rows({"accuracy": 0.95}, accuracy=0.9)[0], ACCURACY) == pytest.approx(1.0)
    assert tightest(rows(budget, nbytes=1e6, accuracy=0.949), ACCURACY) is None
    assert tightest(rows(budget), ACCURACY) is None  # nothing was measured


def test_a_line_that_holds_refuses_nothing():
    refuse_unmet(rows({"nbytes": "/4"}, nbytes=1e6), ACCURACY, shrinks=True)
    refuse_unmet(rows({"nbytes": "/4"}), ACCURACY, shrinks=True)


def test_the_file_that_comes_nearest_is_named():
    budget = {"nbytes": "/2", "accuracy_drop": 1.0}
    verdict = rows(budget, nbytes=1e6, accuracy=0.90)
    others = {"fp32.onnx": rows(budget, nbytes=3e6, accuracy=0.95)}
    first, second = nearest(verdict, variant("int8"), others, ACCURACY)
    assert first.startswith("the tightest line is accuracy_drop: 5.00 points where 1.00 points is")
    assert "accuracy_drop = 5 would hold" in first
    assert second == "fp32.onnx fails by less: nbytes 2.9 MiB"
    others["trt.onnx"] = rows(budget, nbytes=1e6, accuracy=0.945)
    assert nearest(verdict, variant("int8"), others, ACCURACY)[1] == "trt.onnx holds"
    others = {"model.engine": rows(budget, nbytes=1e6)}  # its accuracy is not known
    assert "no other file" in nearest(verdict, variant("int8"), others, ACCURACY)[1]
    assert nearest(rows(budget, nbytes=1e6, accuracy=0.95), variant("int8"), {}, ACCURACY) == ()


@pytest.mark.parametrize("name", ["nbytes", "accuracy", "accuracy_drop", "parameters"])
def test_what_is_asked_for_would_hold(name):
    got = {"parameters": 123456.5, "nbytes": 1234567.0, "accuracy": 0.91239}
    value = 3.761 if name == "accuracy_drop" else got[name]
    key, _, number = asked(name, value, ACCURACY).partition(" = ")
    (row,) = rows({key: float(number)}, **got)
    assert row.outcome == "holds"


def test_lines_go_by_the_name_of_the_metric():
    verdict = rows({"accuracy_drop": 1.0}, accuracy=0.90)
    better = {"other.onnx": rows({"accuracy_drop": 1.0}, accuracy=0.92)}
    told = " ".join(nearest(verdict, variant("int8"), better, RECALL))
    assert "the tightest line is recall_drop: 5.00 points" in told
    assert "recall_drop = 5" in told
    assert "fails by less: recall_drop 3.00 points" in told
    assert "accuracy" not in told


def test_a_metric_with_a_unit_is_told_in_it_and_asked_for_in_it():
    def judged(table, original, got):
        return compression.Budget.parse(table, PSNR).rows({"accuracy": original}, {"accuracy": got})

    budget = {"psnr": ">= 32 dB", "psnr_drop": "<= 0.5 dB"}
    verdict = judged(budget, 33.25, 31.43216)
    assert [row.outcome for row in verdict] == ["fails", "fails"]
    assert tightest(verdict, PSNR).name == "accuracy_drop"  # 2.6 of 0.5; 0.02 of 32
    (told, _) = nearest(verdict, variant("int8"), {}, PSNR)
    assert "psnr_drop: 1.818 dB where 0.5 dB is allowed; psnr_drop = 1.82 would hold" in told
    for name, value in (("accuracy", 31.43216), ("accuracy", -0.12345), ("accuracy_drop", 1.8178)):
        key, _, number = asked(name, value, PSNR).partition(" = ")
        (row,) = judged({key: float(number)}, 33.25 if value > 0 else 0.0, min(value, 31.43216))
        assert name == "accuracy_drop" or row.outcome == "holds"


def test_a_table_of_a_metric_with_a_unit_has_no_percent():
    verdict = compression.Budget.parse({"psnr": 32, "psnr_drop": 0.5}, PSNR).rows(
        {"accuracy": 33.25}, {"accuracy": 31.4}
    )
    found = list(verdict_rows(verdict, PSNR))
    assert [row[:3] for row in found] == [
        ("psnr_drop", "<= 0.5 dB", "1.85 dB"),
        ("psnr", ">= 32 dB", "31.4 dB"),
    ]
    of = compression.Interval(value=-3.2, low=-3.456, high=-3.0, count=9)
    assert score(of, compression.Metric(name="error", unit="px")) == "-3.2 px (-3.456 to -3)"
    assert score(of, compression.Metric(name="r2", unit="1")) == "-3.2 (-3.456 to -3)"


def test_a_recipe_without_steps_is_held_to_what_the_model_is(tmp_path):
    text = kit.RECIPE.partition("[[step]]")[0] + '[budget]\nparameters = "/2"\n'
    with kit.job_of(kit.write_recipe(tmp_path, text)) as job:
        with pytest.raises(BudgetUnmet) as unmet:
            outlook(job, kit.quiet)
        job.recipe = compression.Recipe(model=job.recipe.model)
        assert outlook(job, kit.quiet).verdict == ()
    assert unmet.value.closest == {"parameters": 58}
    assert 'use = "prune"' in unmet.value.remedy


def test_an_int8_file_that_is_slower_than_float_on_the_device_is_told():
    floats = attrs.evolve(variant("fp32"), latency_s=2.8e-3, device="onnx:cpu")
    int8 = attrs.evolve(floats, name="int8", latency_s=3.1e-3, int8_coverage=1.0)
    (told,) = slower(int8, floats)
    assert told == (
        "int8 is slower than float here: 3.1 ms against 2.8 ms; "
        "ship fp32.onnx, unless size counts more"
    )
    for as_fast in ({"latency_s": 2.9e-3}, {"latency_s": 1e-3}, {"latency_s": None}):
        assert slower(attrs.evolve(int8, **as_fast), floats) == ()
    assert slower(attrs.evolve(int8, device="trt:0"), floats) == ()
    assert slower(attrs.evolve(int8, int8_coverage=None), floats) == ()
    assert slower(int8, attrs.evolve(floats, latency_s=None)) == ()
