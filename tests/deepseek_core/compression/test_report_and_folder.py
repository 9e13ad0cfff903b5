"""Reports come back from JSON; a manifest finds what is missing, changed or foreign."""

import json

import attrs
import pytest

from deepseek_core import compression as c
from deepseek_core import errors


def report():
    profile = c.ModelProfile(parameters=10, macs=20, nbytes=30)
    interval = c.Interval(value=0.9, low=0.88, high=0.92, count=1000)
    return c.CompressionReport(
        model="net",
        verdict=c.Budget.parse({"parameters": 10}).rows({}, {"parameters": 10}),
        steps=(c.StepRow(step="prune", profile=profile, accuracy=interval, notes=["fine"]),),
        variants=(
            c.Variant(name="int8", file="m.onnx", target="ort_x86", nbytes=9, accuracy=interval),
        ),
        not_measured=("TensorRT: no GPU here",),
    )


def test_a_report_survives_json():
    kept = json.loads(json.dumps(report().to_json()))
    assert c.CompressionReport.from_json(kept) == report()
    assert kept["holds"] is True


def test_a_report_from_before_metrics_had_names_is_of_accuracy():
    kept = json.loads(json.dumps(report().to_json()))
    del kept["metric"], kept["variants"][0]["threshold"]
    assert c.CompressionReport.from_json(kept) == report()
    assert report().metric.name == "accuracy"


@pytest.mark.parametrize("change", [{"schema": 9}, {"steps": [{}]}, {"verdict": None}])
def test_a_report_that_lacks_a_part_is_refused(change):
    with pytest.raises(errors.ArtifactError):
        c.CompressionReport.from_json({**report().to_json(), **change})


def test_intervals_that_overlap_show_no_difference():
    low, high = (c.Interval(value=v, low=v - 1, high=v + 1, count=3) for v in (1.0, 5.0))
    assert not low.overlaps(high)
    assert low.overlaps(c.Interval(value=2.5, low=2.0, high=3.0, count=3))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "a.plan").write_bytes(b"plan")
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / ".partial").write_bytes(b"not of it")
    c.Manifest.of(tmp_path).write(tmp_path)
    return tmp_path


def test_a_whole_folder_has_no_fault(folder):
    manifest = c.Manifest.read(folder)
    assert set(manifest.files) == {"engine/a.plan", "model.onnx"}
    assert manifest.faults(folder) == ()


def test_a_fault_is_told_by_file(folder):
    (folder / "model.onnx").write_bytes(b"modem")
    (folder / "engine" / "a.plan").unlink()
    (folder / "stray").write_bytes(b"")
    faults = c.Manifest.read(folder).faults(folder)
    assert faults == (
        "engine/a.plan is missing",
        "model.onnx was changed or is damaged",
        "stray is not of this run",
    )


def test_a_folder_without_a_manifest_did_not_end(tmp_path):
    with pytest.raises(errors.ArtifactError, match="did not end"):
        c.Manifest.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": 2, "files": {}}',
        '{"schema": 1, "files": {"../../etc/passwd": "00"}}',
        '{"schema": 1, "files": {"/etc/passwd": "00"}}',
        '{"schema": 1, "files": {"a": 3}}',
    ],
)
def test_a_manifest_of_another_kind_is_refused(folder, text):
    (folder / "MANIFEST.json").write_text(text)
    with pytest.raises(errors.ArtifactError):
        c.Manifest.read(folder)


def test_an_interval_without_bounds_is_json_that_everybody_reads():
    inf = float("inf")
    (row, *more) = report().steps
    wide = c.Interval(value=0.5, low=-inf, high=inf, count=9)
    told = attrs.evolve(report(), steps=(attrs.evolve(row, accuracy=wide), *more))
    text = json.dumps(told.to_json(), allow_nan=False)
    assert c.CompressionReport.from_json(json.loads(text)) == told
