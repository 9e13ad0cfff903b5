"""What a user may set of a translation job: `--set name=value`."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

from deepseek_core import errors

KINDS: Final = ("unigram", "bpe")
ENGINES: Final = ("session", "ctranslate2")
COMPUTES: Final = ("float32", "int8")
PRECISIONS: Final = ("fp32", "bf16")
TASKS: Final = ("main", "reverse", "languages", "denoise")
"""Main alone, or with: the other direction, other languages, denoising of the target."""


def _option(default: Any, text: str, *, at_run: bool = False) -> Any:
    return attrs.field(default=default, metadata={"help": text, "at_run": at_run})


@attrs.frozen(kw_only=True)
class Options:
    """What a job is: its languages, its tasks, its model and its training.

    Tasks are drawn by their sizes to the power of 1 / `temperature`, the main one at least
    `main_share` of the time, and alone in the last `finish` of the updates.
    """

    source_language: str = _option("en", "code of the language to translate, as in train.en")
    target_language: str = _option("de", "code of the language to make, as in train.de")
    pairs: int = _option(0, "training pairs to take, drawn at random; 0 takes all")
    test_share: float = _option(0.1, "share of pairs to test on, and to validate on, of one file")
    tasks: str = _option(",".join(TASKS), "what is learned at once, of main and three more")
    temperature: float = _option(5.0, "1 draws tasks by their size, more draws them more evenly")
    main_share: float = _option(0.25, "how often the main task is drawn, at least")
    finish: float = _option(0.1, "share of the updates, at the end, of the main task alone")
    vocabulary: int = _option(2000, "pieces that all languages share, at most")
    vocabulary_kind: Literal["unigram", "bpe"] = _option("unigram", "how pieces are learned")
    width: int = _option(128, "width of the model")
    inner: int = _option(256, "width inside of its feed-forward layers")
    heads: int = _option(4, "heads of attention")
    layers: int = _option(2, "layers of the encoder, and of the decoder")
    dropout: float = _option(0.1, "share of units that an update leaves out")
    smoothing: float = _option(0.1, "share of each target that all pieces get (label smoothing)")
    updates: int = _option(12_000, "updates of the training")
    batch_tokens: int = _option(350, "target tokens of an update, with padding")
    rate: float = _option(3e-3, "largest learning rate of AdamW; it falls in a line to 0")
    warmup: int = _option(300, "updates in which the rate rises")
    longest: int = _option(128, "most tokens of a text that is trained on, or made")
    beam: int = _option(4, "hypotheses of the search; 1 is greedy", at_run=True)
    precision: Literal["fp32", "bf16"] = _option("fp32", "bf16 is faster where the CPU has AMX")
    engine: Literal["session", "ctranslate2"] = _option(
        "session", "what `run` translates with", at_run=True
    )
    compute: Literal["float32", "int8"] = _option(
        "float32", "what ctranslate2 multiplies; int8 is faster, and may choose other words",
        at_run=True,
    )  # fmt: skip
    license: str = _option("", "license of the data, for the report")
    source: str = _option("", "where the data are from, for the report")

    def __attrs_post_init__(self) -> None:
        self._check_names()
        for name in (
            "vocabulary",
            "width",
            "inner",
            "heads",
            "layers",
            "updates",
            "warmup",
            "beam",
        ):
            _at_least(name, getattr(self, name), 1)
        _at_least("pairs", self.pairs, 0)
        _at_least("batch_tokens", self.batch_tokens, 16)
        _at_least("longest", self.longest, 8)
        _at_least("temperature", self.temperature, 1)
        for name in ("main_share", "finish", "dropout", "smoothing", "test_share"):
            _share(name, getattr(self, name))
        if not 0 < self.rate <= 1:
            raise errors.ConfigError(f"rate is {self.rate}", remedy="--set rate=0.003")

    def _check_names(self) -> None:
        for name in ("source_language", "target_language"):
            code = getattr(self, name)
            if not (code.isascii() and code.replace("-", "").isalnum()):
                raise errors.ConfigError(
                    f"{name} is {code!r}, not the code of a language", remedy=f"--set {name}=en"
                )
        if self.source_language == self.target_language:
            raise errors.ConfigError(
                f"source and target are both {self.source_language}",
                remedy="--set target_language=de",
            )
        for name in self.task_names:
            _one_of("tasks", name, TASKS)
        if "main" not in self.task_names:
            raise errors.ConfigError(
                f"tasks is {self.tasks!r}, without main", remedy="--set tasks=main"
            )
        for name, known in (
            ("vocabulary_kind", KINDS),
            ("engine", ENGINES),
            ("compute", COMPUTES),
            ("precision", PRECISIONS),
        ):
            _one_of(name, getattr(self, name), known)
        if self.compute != COMPUTES[0] and self.engine != "ctranslate2":
            raise errors.ConfigError(
                f"compute is {self.compute}, and the engine is {self.engine}",
                remedy=f"--set engine=ctranslate2 --set compute={self.compute}",
            )

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, one by one."""
        return tuple(name.strip() for name in self.tasks.split(","))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise errors.ConfigError(
            f"{name} has {value!r}; there are {', '.join(known)}",
            remedy=f"--set {name}={known[0]}",
        )


def _at_least(name: str, value: float, least: int) -> None:
    if not value >= least:
        raise errors.ConfigError(
            f"{name} is {value}, and must be {least} or more", remedy=f"--set {name}={least}"
        )


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise errors.ConfigError(
            f"{name} is {value}, and must be from 0 to below 1", remedy=f"--set {name}=0.1"
        )
