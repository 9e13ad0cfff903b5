"""Options of the job, as `--set name=value` gives them."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from deepseek_core import errors


def _help(text: str, default: Any) -> Any:
    return attrs.field(default=default, metadata={"help": text})


_LEAST = {"epochs": 1, "batch": 2, "width": 2, "picture_size": 8, "longest_text": 1, "rate": 100}


@attrs.frozen(kw_only=True)
class Options:
    """How the data are read, and what is trained on them."""

    join: Literal["gate_over_late", "gate", "attention", "concatenation"] = _help(
        "how modalities are joined: gate_over_late, gate, attention or concatenation",
        # with 140 rows it was 12 points behind late fusion; the gate by itself was 20 behind
        "gate_over_late",
    )
    epochs: int = _help("passes over the training part", 10)
    batch: int = _help("rows in one step; fewer where the data are fewer", 64)
    learning_rate: float = _help("the highest rate; it rises and falls", 0.005)
    width: int = _help("numbers in a token, a multiple of 4", 32)
    modality_dropout: float = _help("share of modalities that training takes away", 0.1)
    contrast: float = _help("weight of the contrastive loss; 0 turns it off", 0.1)
    sort: Literal["classes", "pairs", "none"] = _help(
        "positives of the contrastive loss: of one class, or of one row", "classes"
    )
    picture_size: int = _help("pixels a side that pictures are scaled to", 28)
    color: bool = _help("keep the colors of pictures", False)
    rate: int = _help("samples a second that sounds must have", 8000)
    seconds: float = _help("longest sound; what is longer is cut", 0.6)
    longest_text: int = _help("characters; what is longer is cut", 32)
    split_seed: int = _help("draws the parts, where the data do not name them", 0)
    license: str = _help("license of the data, for the report", "not stated")
    source: str = _help("where the data are from, for the report", "the user's own")

    def __attrs_post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise errors.ConfigError(
                    f"{name} must be {least} or more, got {getattr(self, name)}",
                    remedy=f"--set {name}={least} or more",
                )
        if self.width % 4:
            raise errors.ConfigError(
                f"width must be a multiple of 4, got {self.width}", remedy="--set width=32"
            )
        _check_numbers(self)


def _check_numbers(options: Options) -> None:
    if not 0 < options.learning_rate < 1 or not 0 < options.seconds <= 60:
        raise errors.ConfigError(
            f"learning_rate {options.learning_rate} or seconds {options.seconds} can't be",
            remedy="give a learning rate between 0 and 1, and seconds above 0 and up to 60",
        )
    if options.contrast < 0 or not 0 <= options.modality_dropout < 1:
        raise errors.ConfigError(
            f"contrast {options.contrast} or modality_dropout {options.modality_dropout} can't be",
            remedy="give a contrast of 0 or more, and a modality_dropout from 0 to below 1",
        )
