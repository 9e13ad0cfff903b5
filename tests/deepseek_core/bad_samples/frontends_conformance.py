from bad_samples.table import made_classes
from deepseek_core import Artifact
from deepseek_core.testing import FrontendConformance


def artifacts(self, tmp_path):
    whole, mixing = b"toy 1\nx Double y\ny Halve z\n", b"toy 1\nx Center z\n"
    file = tmp_path / "model.toy"
    file.write_bytes(whole)
    good = [Artifact.from_bytes(text, format="toy") for text in (whole, mixing)]
    good.append(Artifact.from_path(file, format="toy"))
    return good, [Artifact.from_bytes(text, format="toy") for text in (whole[:9], b"\x00")]


def run(self, artifact, inputs):
    compute = {
        "Double": lambda x: 2 * x,
        "Halve": lambda x: x / 2,
        "Center": lambda x: x - x.mean(),
    }
    values = dict(inputs)
    for line in artifact.read().decode().splitlines()[1:]:
        reads, name, makes = line.split()
        values[makes] = compute[name](values[reads])
    return values


globals().update(made_classes(FrontendConformance, "frontend", artifacts=artifacts, run=run))
