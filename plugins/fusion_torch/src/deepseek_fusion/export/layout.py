"""What a file says of its state: the tensors that go round, and what they begin as.

It stands in the file's metadata under `deepseek_fusion.stream`, as JSON:
`{"version": 1, "encoder": "WaveNet", "frame": 20, "width": 64, "vocabulary": 0,
"input": {name, dtype, shape}, "states": [{name, shape, dtype, init}]}`.
State NAME goes in as NAME and comes out as NAME_next.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Self

import attrs

from deepseek_core import TensorSpec, errors
from deepseek_fusion import sizes
from deepseek_fusion.states import StateSpec, specs_by_name

METADATA_KEY: Final = "deepseek_fusion.stream"
BATCH_KEY: Final = "deepseek.batch_axis"
"""Under this key a scheduler finds which axis of an input carries its items."""
INPUT: Final = "x"
MASK: Final = "mask"
TOKENS: Final = "tokens"
TOKENS_MASK: Final = "tokens_mask"
_VERSION: Final = 1


def later(name: str) -> str:
    """Name the output that is this state for the next chunk."""
    return f"{name}_next"


@attrs.frozen(kw_only=True)
class StreamLayout:
    """How a file streams.

    `encoder` is its class; `frame` the steps of input that make one token; `width` that of a
    token; `x` describes the input; `states` go in as `name` and come out as `later(name)`. Ids
    are below `vocabulary`, which is 0 where the input is no ids.
    """

    encoder: str
    frame: int = attrs.field(validator=sizes.count)
    width: int = attrs.field(validator=sizes.count)
    x: TensorSpec
    states: tuple[StateSpec, ...]
    vocabulary: int = attrs.field(default=0, validator=sizes.count_or_none)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the file's inputs, in order."""
        return (INPUT, MASK, *(state.name for state in self.states))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the file's outputs, in order."""
        return (TOKENS, TOKENS_MASK, *(later(state.name) for state in self.states))

    def metadata(self) -> dict[str, str]:
        """Give what the file's metadata hold."""
        told = {
            "version": _VERSION,
            "encoder": self.encoder,
            "frame": self.frame,
            "width": self.width,
            "vocabulary": self.vocabulary,
            "input": {
                "name": self.x.name,
                "dtype": self.x.dtype,
                "shape": list(self.x.shape or ()),
            },
            "states": [state.as_json() for state in self.states],
        }
        axes = ",".join(f"{name}=0" for name in self.inputs)
        return {METADATA_KEY: json.dumps(told), BATCH_KEY: axes}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `metadata` wrote.

        Raises:
            ArtifactError: it is of another version, or no such JSON.
        """
        try:
            told = json.loads(text)
            if told["version"] != _VERSION:
                raise errors.ArtifactError(
                    f"the file's stream is of version {told['version']}, this reads {_VERSION}",
                    remedy="upgrade deepseek-fusion, or export the encoder again",
                )
            return cls._of(told)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, errors.ArtifactError):
                raise
            raise errors.ArtifactError(
                f"the file's metadata {METADATA_KEY!r} do not describe a stream: {error!r}",
                remedy="export the encoder again",
            ) from error

    @classmethod
    def _of(cls, told: dict[str, Any]) -> Self:
        states = tuple(
            StateSpec(name=s["name"], shape=s["shape"][1:], dtype=s["dtype"], init=s["init"])
            for s in told["states"]
        )
        x = told["input"]
        return cls(
            encoder=told["encoder"],
            frame=told["frame"],
            width=told["width"],
            vocabulary=told["vocabulary"],
            x=TensorSpec(name=x["name"], dtype=x["dtype"], shape=x["shape"], batch_axis=0),
            states=tuple(specs_by_name(states).values()),
        )


def read_layout(path: str | Path) -> StreamLayout:
    """Read how an ONNX file streams; its weights are not loaded.

    Raises:
        ArtifactError: no such file, no ONNX, or a file without state of this kind.
    """
    import onnx

    path = Path(path)
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise errors.ArtifactError(f"{path} can't be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf's own, of several classes
        raise errors.ArtifactError(f"{path} is not an ONNX file: {error}") from error
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            layout = StreamLayout.parse(entry.value)
            _check_names(path, layout, model.graph)
            return layout
    raise errors.ArtifactError(
        f"{path} does not say how it streams: no metadata {METADATA_KEY!r}",
        remedy="write it with deepseek_fusion.export.onnx_file.export_encoder",
    )


def _check_names(path: Path, layout: StreamLayout, graph: Any) -> None:
    for wanted, there in ((layout.inputs, graph.input), (layout.outputs, graph.output)):
        names = {value.name for value in there}
        if names != set(wanted):
            raise errors.ArtifactError(
                f"{path} does not have what it says: {', '.join(sorted(names ^ set(wanted)))}",
                remedy="export the encoder again; what changed the file left its metadata",
            )
