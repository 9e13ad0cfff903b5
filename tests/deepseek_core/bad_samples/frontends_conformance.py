from bad_samples.table import made_classes
from deepseek_core import Artifact
from deepseek_core.testing import FrontendConformance


def artifacts(self, tmp_path):
    whole = b"toy 1\nx Double y\ny Halve z\n"
    file = tmp_path / "model.toy"
    file.write_bytes(whole)
    good = [Artifact.from_bytes(whole, format="toy"), Artifact.from_path(file, format="toy")]
    return good, [Artifact.from_bytes(text, format="toy") for text in (whole[:9], b"\x00")]


globals().update(made_classes(FrontendConformance, "frontend", artifacts=artifacts))
