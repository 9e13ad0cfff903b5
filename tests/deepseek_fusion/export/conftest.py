"""Encoders are exported once; helpers beside these tests are imported by name."""

import sys
from pathlib import Path

import attrs
import pytest

sys.path[:0] = [str(Path(__file__).parents[1])]


@attrs.frozen
class Exported:
    """An encoder, what it was exported with, the file, and its difference."""

    encoder: object
    example: object
    path: Path
    difference: float


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Give the export of a kind; it is made when it is first asked for."""
    from fusion_streams import pictures, sequence, small

    from deepseek_fusion.export.onnx_file import export_encoder

    made = {}

    def of(kind):
        if kind not in made:
            encoder, example = pictures() if kind == "pictures" else (small(kind), None)
            example = sequence(kind, 1, 3) if example is None else example
            path = tmp_path_factory.mktemp(kind) / "encoder.onnx"
            made[kind] = Exported(
                encoder, example, path, export_encoder(encoder.train(), example, path)
            )
            assert encoder.training
            encoder.eval()
        return made[kind]

    return of
