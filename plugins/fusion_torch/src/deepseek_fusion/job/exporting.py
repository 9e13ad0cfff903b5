"""The joined model as one ONNX file, all preparation inside, and a description beside it.

Inputs are the arrays of `items`, with any number of rows; a modality is left out of a row by its
zeros. Outputs are `probability` [N, C] and `vector_MODALITY` [N, E] for retrieval. The file is
compared with the network before it counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from deepseek_core import Artifact, errors
from deepseek_fusion.export.files import write_whole
from deepseek_fusion.job.answering import Trained, load_trained
from deepseek_fusion.job.items import Arrays, Form, taken, there, without
from deepseek_fusion.job.kept import read_part, read_prepared, write_facts
from deepseek_fusion.job.layout import ABOUT, JOINED, MODEL
from deepseek_fusion.job.network import Network

OPSET: Final = 20
_TOLERANCE: Final = 1e-4
_COMPARED_ROWS: Final = 32


class _Graph(nn.Module):
    """The network with its arrays as arguments, in the order of `names`."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return probabilities, then a vector for each modality."""
        answer = self.network(dict(zip(self.names, values, strict=True)))
        return (answer.logits.softmax(1), *answer.vectors)


def export(seed_folder: Path, target: Path, data: Path) -> tuple[Artifact, ...]:
    """Write the model and its description.

    Raises:
        ArtifactError: the seed was not trained on these data.
        InputError: the file would compute something else.
    """
    prepared = read_prepared(data)
    trained = load_trained(seed_folder, JOINED, prepared)
    arrays, _ = read_part(data, "test")
    content = model_bytes(trained, prepared.form, arrays)
    write_whole(target / MODEL, content)
    about = {
        "form": prepared.form.facts(),
        "model": MODEL,
        "sha256": hashlib.sha256(content).hexdigest(),
        "join": trained.facts["join"],
    }
    write_facts(target / ABOUT, about)
    return (
        Artifact.from_path(target / MODEL, format="onnx"),
        Artifact.from_path(target / ABOUT, format="json"),
    )


def model_bytes(trained: Trained, form: Form, arrays: Arrays) -> bytes:
    """Return the model as ONNX, compared with the network on rows and on subsets of them.

    Raises:
        InputError: it differs.
    """
    names = list(arrays)
    graph = _Graph(trained.network, names).eval()
    example = _rows(arrays, 2)
    outputs = ["probability", *(f"vector_{name}" for name in form.modalities)]
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph, example, input_names=names, output_names=outputs, dynamo=True,
            dynamic_shapes={"values": tuple({0: batch} for _ in names)}, opset_version=OPSET,
            verbose=False,
        )  # fmt: skip
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    _compare(graph, content, form, arrays)
    return content


def _rows(arrays: Arrays, count: int) -> tuple[torch.Tensor, ...]:
    rows = np.arange(count) % len(next(iter(arrays.values())))
    return tuple(torch.from_numpy(values) for values in taken(arrays, rows).values())


def _compare(graph: _Graph, content: bytes, form: Form, arrays: Arrays) -> None:
    from deepseek_fusion.export.ort import ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    run = ort.InferenceSession(content, options, ["CPUExecutionProvider"])
    some = taken(arrays, slice(0, _COMPARED_ROWS))
    for gone in ((), *((name,) for name in form.modalities)):
        given = _answerable(without(some, gone), form)
        if not len(next(iter(given.values()))):
            continue
        with torch.no_grad():
            wanted = graph(*(torch.from_numpy(values) for values in given.values()))
        found = run.run(None, given)
        apart = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(found, wanted, strict=True))
        if not apart <= _TOLERANCE:
            raise errors.InputError(
                f"the exported model differs from the trained one by {apart:.2g}",
                remedy="report it, with the versions of torch and onnxruntime",
            )


def _answerable(arrays: Arrays, form: Form) -> Arrays:
    """Return the rows that have a modality left."""
    return taken(arrays, np.stack([there(arrays, name) for name in form.modalities]).any(0))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter warns of."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
