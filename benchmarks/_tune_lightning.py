"""What Lightning's `Tuner.lr_find` suggests for the problem of `tune.py`: one JSON object.

PYTHON benchmarks/_tune_lightning.py SEED
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader, TensorDataset

sys.path.append(str(Path(__file__).resolve().parent))
import _tune_problem as problem


class Module(lightning.LightningModule):
    """The perceptron, with the rate that `lr_find` sets."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.lr = problem.network(), 0.01

    def training_step(self, batch: Any, _: int) -> Any:
        """The loss."""
        return problem.loss(self.net, batch)

    def configure_optimizers(self) -> Any:
        """SGD with momentum."""
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=problem.MOMENTUM)


def main() -> None:
    """Print the rate."""
    lightning.seed_everything(int(sys.argv[1]), verbose=False)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = TensorDataset(*problem.pictures("train"))
    loader = DataLoader(data, batch_size=problem.BATCHES[0], shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        found = Tuner(trainer).lr_find(Module(), loader)
    print(json.dumps({"rate": None if found is None else found.suggestion()}))


if __name__ == "__main__":
    main()
