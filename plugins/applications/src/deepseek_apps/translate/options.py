"""What a user may set of a translation job: `--set name=value`."""

from __future__ import annotations

import attrs

from deepseek_core import errors

TASKS = ("main", "reverse", "languages", "denoise")
"""Main alone, or with: the other direction, other languages, denoising of the target."""
KINDS = ("unigram", "bpe")
ENGINES = ("session", "ctranslate2")


@attrs.frozen(kw_only=True)
class Options:
    """Settings of a job; those of `prepare` are kept with its data.

    `source_language` and `target_language` are codes, as in `train.en` and `train.de`. `pairs` cuts the
    training pairs (0: all). `tasks` are names of `TASKS` with commas between. Tasks are drawn by
    their sizes to the power of 1 / `temperature`, the main one at least `main_share` of the time,
    and alone in the last `finish` of the updates. `batch_tokens` are target tokens of one update,
    with padding. `longest` is the most tokens of a text that is trained on or made.
    """

    source_language: str = "en"
    target_language: str = "de"
    pairs: int = 0
    tasks: str = "main,reverse,languages,denoise"
    temperature: float = 5.0
    main_share: float = 0.5
    finish: float = 0.3
    vocabulary: int = 2000
    vocabulary_kind: str = "unigram"
    width: int = 128
    inner: int = 256
    heads: int = 4
    layers: int = 2
    dropout: float = 0.3
    smoothing: float = 0.1
    updates: int = 1800
    batch_tokens: int = 700
    rate: float = 2e-3
    warmup: int = 300
    longest: int = 128
    beam: int = 4
    precision: str = "fp32"
    test_share: float = 0.1
    engine: str = "session"
    license: str = ""
    source: str = ""

    def __attrs_post_init__(self) -> None:
        self._check_names()
        for name in ("vocabulary", "width", "inner", "heads", "layers", "updates", "warmup", "beam"):
            _at_least(name, getattr(self, name), 1)
        _at_least("pairs", self.pairs, 0)
        _at_least("batch_tokens", self.batch_tokens, 16)
        _at_least("longest", self.longest, 8)
        _at_least("temperature", self.temperature, 1)
        for name in ("main_share", "finish", "dropout", "smoothing", "test_share"):
            _share(name, getattr(self, name))
        if not 0 < self.rate <= 1:
            raise errors.ConfigError(f"rate is {self.rate}", remedy="--set rate=0.002")

    def _check_names(self) -> None:
        for name in ("source_language", "target_language"):
            code = getattr(self, name)
            if not (code.isascii() and code.replace("-", "").isalnum()):
                raise errors.ConfigError(
                    f"{name} is {code!r}, not the code of a language", remedy=f"--set {name}=en"
                )
        if self.source_language == self.target_language:
            raise errors.ConfigError(
                f"source and target are both {self.source_language}", remedy="--set target_language=de"
            )
        for name in self.task_names:
            _one_of("tasks", name, TASKS)
        if "main" not in self.task_names:
            raise errors.ConfigError(
                f"tasks is {self.tasks!r}, without main", remedy="--set tasks=main"
            )
        _one_of("vocabulary_kind", self.vocabulary_kind, KINDS)
        _one_of("engine", self.engine, ENGINES)
        _one_of("precision", self.precision, ("fp32", "bf16"))

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
