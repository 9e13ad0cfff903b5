"""A trained stack: its models, how they are combined, and the folder that it lies in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.ctr.arrays import load_arrays
from deepseek_apps.ctr.features.map import FeatureMap, features_from_json
from deepseek_apps.ctr.measures import Reals
from deepseek_apps.ctr.network.samples import NO_FOLD, Samples
from deepseek_apps.ctr.network.training import Network
from deepseek_apps.ctr.stack.calibration import Calibration
from deepseek_apps.ctr.stack.combination import Combination
from deepseek_apps.ctr.table import Inputs
from deepseek_apps.ctr.trees.forest import Forest
from deepseek_apps.ctr.trees.members import TreeFit, TreeMembers
from deepseek_core import errors

SCHEMA: Final = 1
FEATURES: Final = "features.json"
STACK: Final = "stack.json"
TREES: Final = "trees.npz"
TOOK: Final = "took_s"
"""In the file of a model: the CPU seconds that it took."""


@attrs.frozen(kw_only=True, eq=False)
class Stack:
    """All that makes a probability of raw inputs.

    `split_hash` is that of the data it was trained on, `cpu_s` are seconds that each model took.
    """

    features: FeatureMap
    networks: Mapping[str, Network]
    trees: TreeMembers | None
    combination: Combination
    calibration: Calibration = attrs.field(factory=Calibration)
    split_hash: str
    cpu_s: Mapping[str, float]

    def model_logits(self, inputs: Inputs) -> dict[str, Reals]:
        """Log odds (N) of each model, the mean of its members."""
        samples = encoded_samples(self.features, inputs)
        found: dict[str, Reals] = {
            kind: network.member_logits(samples).mean(axis=1, dtype=np.float64)
            for kind, network in self.networks.items()
        }
        if self.trees is not None:
            found["trees"] = self.trees.logits(self.features, inputs)
        return found

    def logits(self, of_models: Mapping[str, Reals]) -> Reals:
        """Log odds (N) of the combination, not calibrated."""
        return self.combination.logits(of_models)

    def probabilities(self, inputs: Inputs) -> Reals:
        """Probabilities (N) of raw inputs."""
        return self.calibration.probabilities(self.logits(self.model_logits(inputs)))

    def num_parameters(self, model: str) -> int:
        """Parameters of one of its models, all members."""
        if model == "trees":
            return self.trees.forest.num_parameters if self.trees else 0
        return self.networks[model].num_parameters


def encoded_samples(features: FeatureMap, inputs: Inputs) -> Samples:
    """Rows to predict, as a network reads them."""
    encoded = features.encode(inputs)
    return Samples(
        ids=encoded.ids,
        numbers=encoded.numbers,
        target=np.zeros(len(inputs), np.int64),
        fold=np.full(len(inputs), NO_FOLD),
        rows=int(features.offsets[-1]),
        fingerprint=features.fingerprint,
    )


def stack_to_json(stack: Stack) -> str:
    """What is not in files of its own: the last to be written, it ends a training."""
    content = {
        "schema": SCHEMA,
        "split_hash": stack.split_hash,
        "features": stack.features.fingerprint,
        "networks": {kind: dict(network.sizes) for kind, network in stack.networks.items()},
        "trees": stack.trees is not None,
        "combination": attrs.asdict(stack.combination),
        "calibration": attrs.asdict(stack.calibration),
        "cpu_s": dict(stack.cpu_s),
    }
    return json.dumps(content, indent=1) + "\n"


def is_trained(folder: Path) -> bool:
    """Whether a training there came to its end."""
    return (folder / STACK).is_file()


def read_stack(folder: Path) -> Stack:
    """The stack that a training has left.

    Raises:
        InputError: it was not trained to its end.
        ArtifactError: a file is damaged, or of another run.
    """
    if not is_trained(folder):
        raise errors.InputError(
            f"{folder} holds no trained model", remedy="train it: ds-sdk app ctr train"
        )
    features = features_from_json(_text(folder / FEATURES), str(folder / FEATURES))
    try:
        content = json.loads(_text(folder / STACK))
        _check_run(content, features, folder)
        networks = {
            kind: read_network(folder / f"{kind}.npz", kind, sizes)
            for kind, sizes in content["networks"].items()
        }
        return Stack(
            features=features,
            networks=networks,
            trees=read_trees(folder / TREES).members if content["trees"] else None,
            combination=Combination(**content["combination"]),
            calibration=Calibration(**content["calibration"]),
            split_hash=content["split_hash"],
            cpu_s=content["cpu_s"],
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, errors.DeepSeekError):
            raise
        raise _damaged(folder / STACK, error) from error


def _check_run(content: Mapping[str, Any], features: FeatureMap, folder: Path) -> None:
    if (content["schema"], content["features"]) != (SCHEMA, features.fingerprint):
        raise errors.ArtifactError(
            f"{folder / FEATURES} is of another run than {STACK}: its vocabularies and bins have "
            "other ids than those that the models were trained on",
            remedy="put the file of that training back, or train again",
        )
    for kind, sizes in content["networks"].items():
        if sizes["rows"] != int(features.offsets[-1]):
            raise errors.ArtifactError(
                f"{kind} in {folder} has {sizes['rows']} rows, and the features need "
                f"{int(features.offsets[-1])}",
                remedy="train again",
            )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> errors.ArtifactError:
    return errors.ArtifactError(f"{path} can't be read: {error}", remedy="train again")


def read_network(path: Path, kind: str, sizes: Mapping[str, Any]) -> Network:
    """The network of a file.

    Raises:
        ArtifactError: it can't be read, or has other rows than its sizes say.
    """
    weights = load_arrays(path)
    weights.pop(TOOK, None)
    table = weights.get("table.weight")
    if table is None or table.shape[:2] != (sizes["members"], sizes["rows"]):
        raise errors.ArtifactError(
            f"{path} is the network of another run: its table does not have {sizes['rows']} rows "
            f"of {sizes['members']} members",
            remedy="put the file of that training back, or train again",
        )
    return Network(kind=kind, sizes=sizes, weights=weights)


def tree_arrays(fit: TreeFit) -> dict[str, Any]:
    """The arrays of trees, as they are stored."""
    held = attrs.asdict(fit.members.forest)
    return {**held, "tables": np.stack(fit.members.tables), "out_of_fold": fit.out_of_fold}


def read_trees(path: Path) -> TreeFit:
    """The trees of a file, and their out-of-fold log odds.

    Raises:
        ArtifactError: it can't be read.
    """
    held = load_arrays(path)
    tables, out_of_fold = held.pop("tables"), held.pop("out_of_fold")
    names = [field.name for field in attrs.fields(Forest)]
    content: dict[str, Any] = {name: held[name] for name in names}
    content["base"] = float(held["base"])
    members = TreeMembers(forest=Forest(**content), tables=tuple(tables))
    return TreeFit(members=members, out_of_fold=out_of_fold)
