"""`ds-sdk compress` by hand: what it prints, its exit codes, and what it says to a mistake."""

import json

import numpy as np
import pytest
from command import ds_sdk, ds_sdk_here
from spots import HEAD, write_spots

RECIPE = f"""{HEAD}
[[lower]]
use = "ort_x86"

[[lower]]
use = "trt"

[budget]
nbytes = "{{nbytes}}"
accuracy_drop = 10
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("compress")
    write_spots(made)
    (made / "recipe.toml").write_text(RECIPE.format(nbytes="/2"))
    (made / "strict.toml").write_text(RECIPE.format(nbytes="/100"))
    return made


def compress(folder, *words):
    return ds_sdk(folder, "compress", *words)


def compress_here(folder, *words):
    """For what it says and its exit code, in this process."""
    return ds_sdk_here(folder, "compress", *words)


def test_a_run_is_judged_verified_and_compared(folder):
    done = compress(folder, "run", "recipe.toml", "-o", "out", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["holds"]
    assert [v["name"] for v in report["variants"]] == ["fp32", "ort_x86", "trt"]
    assert report["variants"][1]["int8_coverage"] == 1.0
    assert compress_here(folder, "verify", "out").stdout.endswith("files are whole\n")
    compared = compress_here(folder, "compare", "out", "out").stdout
    assert "no significant difference in accuracy" in compared
    again = compress_here(folder, "run", "recipe.toml", "-o", "out")
    assert again.returncode == 2
    assert "holds a finished run" in again.stderr
    model = folder / "out" / "model.ort_x86.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    damaged = compress_here(folder, "verify", "out")
    assert damaged.returncode == 1
    assert "model.ort_x86.onnx was changed" in damaged.stdout


def test_runs_that_were_judged_on_other_samples_are_not_compared(folder):
    with np.load(folder / "samples.npz") as kept:
        np.savez(folder / "others.npz", x=kept["x"] + 1, y=kept["y"])
    text = RECIPE.format(nbytes="/2")
    (folder / "others.toml").write_text(
        "\ufeff" + text.replace('test = "samples', 'test = "others')
    )
    (folder / "same.toml").write_text(text.replace("\n", "\r\n"))
    for name in ("others", "same"):
        done = compress(folder, "run", f"{name}.toml", "-o", f"judged-{name}")
        assert done.returncode in (0, 1), done.stderr
    words = ("compare", "judged-others", "judged-same")
    assert "can't be compared" in compress_here(folder, *words).stdout
    assert not json.loads(compress_here(folder, *words, "--json").stdout)["same_test_samples"]


CHATTY = """
import numpy as np
print("reading files ...")

def samples():
    print("done")
    with np.load("samples.npz") as kept:
        return kept["x"], kept["y"]
"""


def test_what_a_users_module_prints_is_no_part_of_the_json(folder):
    (folder / "chatty.py").write_text(CHATTY)
    text = RECIPE.format(nbytes="/2").replace("samples.npz", "chatty.py:samples")
    (folder / "chatty.toml").write_text(text)
    done = compress(folder, "run", "chatty.toml", "-o", "chatty", "--json")
    assert json.loads(done.stdout)["variants"]
    assert "reading files" in done.stderr


def test_a_budget_that_does_not_hold_is_exit_code_1(folder):
    done = compress(folder, "run", "strict.toml", "-o", "strict")
    assert done.returncode == 1, done.stderr
    assert "fails" in done.stdout
    assert "the tightest line is nbytes: " in done.stdout
    assert "model.trt.onnx fails by less: nbytes " in done.stdout  # it has no output in integers


def test_the_layers_of_a_file_are_listed_with_what_int8_costs(folder):
    done = compress_here(folder, "inspect", "model.onnx", "--samples", "samples.npz", "--json")
    layers = json.loads(done.stdout)["layers"]
    assert [layer["operator"] for layer in layers] == ["Conv", "Gemm"]
    assert all(0 <= layer["int8_error"] < 0.1 for layer in layers)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu", "recipe.toml"], "did you mean 'run'?"),
        (["plan", "nope.toml"], "no such recipe"),
        (["verify", "."], "did not end"),
        (["compare", ".", "."], "holds no finished run"),
        (["inspect", "model.py:make"], "add --input"),
        (["inspect", "model.py:make", "--input", "a,b"], "--input 1,3,224,224"),
        (["inspect", "nope.onnx"], "no such file"),
        (["inspect", "recipe.toml"], "begins with a file"),
        (["init", "recipe.toml"], "is there already"),
        (["run", "recipe.toml", "-o", "."], "is not empty"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(folder, words, said):
    done = compress_here(folder, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_first_recipe_is_one(folder):
    assert compress_here(folder, "init", "first.toml").returncode == 0
    missing = compress_here(folder, "plan", "first.toml")
    assert "no such file: my_model.py" in missing.stderr.replace(str(folder) + "/", "")
    assert compress_here(folder, "init", "second.toml", "--model", "model.onnx").returncode == 0
    assert "my_data.py" in compress_here(folder, "plan", "second.toml").stderr
