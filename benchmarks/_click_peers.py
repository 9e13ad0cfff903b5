"""deepctr-torch's models on the parts of a prepared click job.

    python benchmarks/_click_peers.py WORKFOLDER OPTIONS.json SEED OUT.npz

runs in a process of its own: the package asks the network for its newest version when it is
imported, which is refused here. It gets the ids and scaled numbers that ours get, the widths that
ours have, and is stopped by the validation part as ours is. Probabilities of the test part are
written by name.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

_PATIENCE = 2
_EPOCHS = 30


def _offline() -> None:
    import requests

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError("this benchmark stays offline")

    requests.get = refuse


def _feed(features: Any, encoded: Any) -> dict[str, Any]:
    """Ids without offsets and numbers, by the names of their columns."""
    ids = encoded.ids - features.offsets[:-1]
    fields = (*features.numbers, *features.categories)
    feed = {f"id {field.name}": ids[:, at] for at, field in enumerate(fields)}
    for at, field in enumerate(features.numbers):
        feed[f"number {field.name}"] = encoded.numbers[:, at]
    return feed


def _columns(features: Any, width: int) -> list[Any]:
    from deepctr_torch.inputs import DenseFeat, SparseFeat

    sparse = [
        SparseFeat(f"id {field.name}", field.num_ids, embedding_dim=width)
        for field in (*features.numbers, *features.categories)
    ]
    return [*sparse, *(DenseFeat(f"number {field.name}", 1) for field in features.numbers)]


def _trained(model: Any, parts: Any, options: Any) -> Any:
    """Probabilities of the test part by the epoch of the least validation log loss."""
    import torch

    from deepseek_apps.ctr.measures import log_loss

    features = parts.features
    train, validation, test = (
        _feed(features, features.encode(table.inputs))
        for table in (parts.train, parts.validation, parts.test)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=options.rate)
    model.compile(optimizer, "binary_crossentropy")
    best, found, waited = float("inf"), None, 0
    for _ in range(_EPOCHS):
        model.fit(train, parts.train.target, batch_size=options.batch, epochs=1, verbose=0)
        loss = log_loss(parts.validation.target, model.predict(validation, 1024)[:, 0])
        if loss < best:
            best, found, waited = loss, model.predict(test, 1024)[:, 0], 0
        else:
            waited += 1
        if waited == _PATIENCE:
            break
    return found


def main() -> int:
    warnings.simplefilter("ignore")
    _offline()
    import numpy as np
    import torch
    from deepctr_torch.models import DCN, DeepFM

    from deepseek_apps.ctr.data.parts import parts_of
    from deepseek_apps.ctr.data.preparing import load_data
    from deepseek_apps.ctr.options import Options

    folder, given, seed, out = sys.argv[1:]
    torch.set_num_threads(1)
    options = Options(**json.loads(Path(given).read_text(encoding="utf-8")))
    parts = parts_of(load_data(Path(folder) / "data"), options, "")
    columns = _columns(parts.features, options.width)
    common = {
        "dnn_hidden_units": options.widths, "dnn_dropout": options.dropout, "seed": int(seed)
    }  # fmt: skip
    makers = {
        "deepctr-torch DeepFM": lambda: DeepFM(columns, columns, **common),
        "deepctr-torch DCN": lambda: DCN(
            columns, columns, cross_parameterization="matrix", **common
        ),
    }
    found, took = {}, {}
    for name, make in makers.items():
        start_s = time.process_time()
        found[name] = _trained(make(), parts, options)
        took[f"cpu_s of {name}"] = np.array(time.process_time() - start_s)
    np.savez(out, **found, **took)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
