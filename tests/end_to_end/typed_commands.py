"""Runs `ds-sdk` in this process, as a user would type it, beside ONNX Runtime alone."""

import zipfile

import numpy as np
import onnx
import onnxruntime
from newcomer import strict_json
from onnx import parser

from deepseek_core.cli.main import main


class CommandLine:
    """The command in a folder of its own; `out` and `err` are of the last call."""

    def __init__(self, folder, capsys):
        self.folder, self.out, self.err = folder, "", ""
        self._capsys = capsys

    def __call__(self, *words):
        """The exit code of `ds-sdk WORDS`."""
        self._capsys.readouterr()
        code = main([str(word) for word in words])
        self.out, self.err = self._capsys.readouterr()
        return code

    def says(self, *words):
        """What a call that ends well prints on stdout."""
        assert self(*words) == 0, self.err
        return self.out

    def json(self, *words):
        """The one object on stdout, of a call that says nothing on stderr."""
        assert self(*words, "--json") == 0, self.err
        assert self.err == ""
        return strict_json(self.out)

    def refuses(self, *words, code=2):
        """Error and remedy of a call that fails, prints nothing else and leaves nothing."""
        before = self.names()
        assert self(*words) == code, self.out
        lines = [line for line in self.err.splitlines() if not line.startswith(("calib", "runn"))]
        assert self.out == ""
        assert [line.partition(": ")[0] for line in lines] == ["error", "fix"], self.err
        assert "unexpected" not in self.err
        assert self.names() == before
        error, fix = lines
        return error.removeprefix("error: "), fix.removeprefix("fix: ")

    def names(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def model(self, text, name="model.onnx", opset=18):
        """Write a model in ONNX's own text form."""
        made = parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]> {text}')
        onnx.save(made, self.folder / name)

    def results(self, *words, model="model.onnx", data=("data.npz",)):
        """The arrays that a run writes."""
        given = [word for file in data for word in ("--input", file)]
        self.report = self.json(
            "run", model, *given, "--device", "cpu", "--no-calibrate", "--output", "y.npz", *words
        )
        return arrays(self.folder / "y.npz")

    def reference(self, inputs, model="model.onnx"):
        """What ONNX Runtime itself makes of the same inputs."""
        session = onnxruntime.InferenceSession(
            (self.folder / model).read_bytes(), providers=["CPUExecutionProvider"]
        )
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))


def arrays(path):
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def save(path, inputs):
    """An NPZ file with any names; numpy.savez keeps some for itself."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in inputs.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)


def equal(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


def floats(*shape):
    """Whole numbers as float32, whose sums are exact in any order."""
    return np.random.default_rng(0).integers(-9, 10, shape).astype(np.float32)
