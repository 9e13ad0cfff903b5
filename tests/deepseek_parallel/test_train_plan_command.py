"""`ds-sdk train plan` as a person and a script see it."""

import json
import subprocess
import sys

import pytest

from deepseek_core import errors
from deepseek_parallel.cli.main import main

SIZES = {"hidden": 1024, "layers": 12, "heads": 16, "sequence": 512, "vocabulary": 32000}
SMALL = [word for name, size in SIZES.items() for word in (f"--{name}", str(size))]
MODEL = "hidden = 1024\nlayers = 12\nheads = 16\nsequence = 512\nvocabulary = 32000\n"
CLUSTER = """\
[[group]]
gpu = "a100-80g"
nodes = 1
speed = 0.9

[[group]]
name = "mine"
nodes = 1
gpus_per_node = 8
flops_per_s = { bf16 = 1e14 }
memory_nbytes = 24e9
memory_bytes_per_s = 1e12
inside = { bytes_per_s = 2.5e10, latency_s = 1e-5 }
between = { bytes_per_s = 1.25e9, latency_s = 3e-5 }
"""


def told(capsys, *words):
    code = main(["plan", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_known_model_on_a_known_cluster_comes_out_as_published(capsys):
    code, found = told(
        capsys, "--model", "175b", "--cluster", "a100-80g:8", "--batch", "64",
        "--recompute", "full", "--dp", "1", "--tp", "8", "--pp", "8",
        "--micro", "1", "--interleave", "3",
    )  # fmt: skip
    assert code == 0
    assert found["evidence"] == found["meshes"][0]["evidence"] == "model"
    assert found["assumed"]["matmul"] < 1
    (mesh,) = found["meshes"]
    assert mesh["step_s"] == pytest.approx(18.13, rel=0.03)
    assert mesh["step_s"] == pytest.approx(sum(mesh["seconds"].values()))
    assert mesh["wire_nbytes"]["total"] > 0


def test_every_table_says_that_it_is_a_model_and_what_it_assumes(capsys):
    assert main(["plan", *SMALL, "--cluster", "a100-80g:1", "--batch", "32"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("evidence: model; nothing was measured. Assumed: 83% of the peak")
    assert "STEP" in printed and "meshes fit; refused: " in printed


def test_files_describe_a_model_and_unequal_gpus(capsys, tmp_path):
    (tmp_path / "model.toml").write_text(MODEL)
    (tmp_path / "cluster.toml").write_text(CLUSTER)
    words = ("--model", f"{tmp_path}/model.toml", "--cluster", f"{tmp_path}/cluster.toml")
    code, found = told(capsys, *words, "--batch", "64", "--pp", "1", "--micro", "1", "--dp", "16")
    assert code == 0
    assert found["gpus"] == 16
    shares = found["meshes"][0]["microbatches_by_replica"]
    assert sum(shares) == 64 and min(shares[:8]) > max(shares[8:])
    assert main(["plan", *words, "--batch", "64"]) == 0
    assert "imbalance" in capsys.readouterr().out


def test_no_room_is_an_answer_that_says_how_much_is_missing(capsys):
    words = ("--model", "1t", "--cluster", "a100-80g:1", "--batch", "8")
    code, found = told(capsys, *words)
    assert code == 1
    assert found["meshes"] == [] and found["num_refused"]["memory"] > 0
    (nearest,) = [one for one in found["refused"] if one["dimension"] == "memory"]
    assert nearest["lacking_nbytes"] > 1e12
    assert main(["plan", *words]) == 1
    assert "TiB a GPU are missing" in capsys.readouterr().out


BAD = {
    "did you mean 'layers'": ("model.toml", MODEL.replace("layers", "layer")),
    "does not give the model's heads": ("model.toml", MODEL.replace("heads = 16\n", "")),
    "hidden is -5": ("model.toml", MODEL.replace("1024", "-5")),
    "hidden is '1024'": ("model.toml", MODEL.replace("1024", "'1024'")),
    "is not TOML": ("model.toml", MODEL + "="),
    "did you mean 'speed'": ("cluster.toml", CLUSTER.replace("speed", "sped")),
    "did you mean 'group'": ("cluster.toml", CLUSTER.replace("[[group]]", "[[groups]]")),
    "did you mean 'a100-80g'": ("cluster.toml", CLUSTER.replace("a100-80g", "a100-80")),
    "does not give memory_nbytes": ("cluster.toml", CLUSTER.replace("memory_nbytes = 24e9\n", "")),
    "memory_nbytes of the group 'mine' is -24": ("cluster.toml", CLUSTER.replace("24e9", "-24e9")),
    "inside has an unknown key": ("cluster.toml", CLUSTER.replace("2.5e10,", "2.5e10, x = 1,")),
    "between is 3, which": ("cluster.toml", CLUSTER.replace("{ bytes_per_s = 1.", "3 #")),
    "does not give bytes_per_s": ("cluster.toml", CLUSTER.replace("bytes_per_s = 1.25e9, ", "")),
    "group is not a list": ("cluster.toml", "group = 3\n"),
    "group 1 is 3": ("cluster.toml", "group = [3]\n"),
    "the cluster has no group": ("cluster.toml", ""),
    "flops_per_s.bf16 of the group": ("cluster.toml", CLUSTER.replace("1e14", "'fast'")),
    "memory_nbytes of the group 'mine' is 1000": (
        "cluster.toml", CLUSTER.replace("24e9", "1" + 400 * "0")
    ),
    "memory_nbytes of the group 'mine' is inf": ("cluster.toml", CLUSTER.replace("24e9", "inf")),
    "a link's bytes_per_s is 1e-300": ("cluster.toml", CLUSTER.replace("2.5e10", "1e-300")),
    "group 2, name is 7": ("cluster.toml", CLUSTER.replace('"mine"', "7")),
}  # fmt: skip


@pytest.mark.parametrize("says", BAD)
def test_a_file_that_is_wrong_is_told_with_a_remedy(says, tmp_path):
    (tmp_path / "model.toml").write_text(MODEL)
    (tmp_path / "cluster.toml").write_text(CLUSTER)
    name, text = BAD[says]
    (tmp_path / name).write_text(text)
    words = ("--model", f"{tmp_path}/model.toml", "--cluster", f"{tmp_path}/cluster.toml")
    with pytest.raises(errors.DeepSeekError) as caught:
        main(["plan", *words, "--batch", "64"])
    assert says in str(caught.value)
    assert isinstance(caught.value, (errors.ConfigError, errors.InputError))
    assert caught.value.remedy


WRONG_WORDS = {
    "did you mean '175b'": ("--model", "175"),
    "does not give the model's hidden": (),
    "can't be read": ("--model", "nowhere/model.toml"),
    "did you mean 'a100-80g'": ("--model", "22b", "--cluster", "a100-80:4"),
    "does not say how many nodes": ("--model", "22b", "--cluster", "a100-80g"),
    "nodes of the group 'a100-80g' is 0": ("--model", "22b", "--cluster", "a100-80g:0"),
    "--batch is -4": ("--model", "22b", "--batch", "-4"),
    "--tp is 0": ("--model", "22b", "--tp", "0"),
    "tp 3 does not divide the cluster's 8 GPUs": ("--model", "22b", "--tp", "3"),
    "compress is 7": ("--model", "22b", "--compress", "7"),
    "layers is -1": ("--model", "22b", "--layers", "-1"),
}


@pytest.mark.parametrize("says", WRONG_WORDS)
def test_words_that_are_wrong_are_told_with_a_remedy(says):
    words = list(WRONG_WORDS[says])
    for name, value in (("--cluster", "a100-80g:1"), ("--batch", "8")):
        words += [] if name in words else [name, value]
    with pytest.raises(errors.DeepSeekError) as caught:
        main(["plan", *words])
    assert says in str(caught.value)
    assert caught.value.remedy


def test_a_plan_needs_no_torch():
    script = (
        "import sys; from deepseek_parallel.cli.main import main; "
        "main(['plan', '--model', '22b', '--cluster', 'a100-80g:2', '--batch', '8']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_strategies_of_all_plugins_are_ranked(capsys):
    words = (*SMALL, "--cluster", "a100-80g:1", "--batch", "32", "--strategies")
    code, found = told(capsys, *words)
    assert code == 0
    steps = {one["strategy"]: one["step_s"] for one in found["strategies"]}
    assert list(steps.values()) == sorted(steps.values())
    assert steps["hybrid"] == found["meshes"][0]["step_s"]
    assert {"ddp", "fsdp", "hybrid", "pp", "tp"} == {*steps, *found["strategies_refused"]}
    assert main(["plan", *words]) == 0
    assert "STRATEGY" in capsys.readouterr().out
