"""What an encoder is: input, mask and state in; tokens, mask and state out.

Legend: N rows of a batch · T steps of an input · S tokens of a row · D width of a token ·
C channels · H, W height and width of a picture.

| input `x`            | its mask, bool         | tokens                                |
|----------------------|------------------------|---------------------------------------|
| ids (N, T), int64    | (N, T): step is there  | (N, T, D), one a step                 |
| features (N, T, C)   | (N, T): step is there  | (N, S, D), one a frame                |
| pictures (N, C, H, W)| (N,): picture is there | (N, S, D), one a cell of the last map |

What holds for every encoder, and is tested for each:
- A mask of None means that all is there. What is masked out never matters, NaN included; its
  tokens are zero and their mask is False. A row with nothing there gives zeros.
- NaN or infinity in what is there is refused.
- No rows (N = 0) and no steps (T = 0) give as many tokens and leave the state as it is.
- State is a mapping of named tensors with the batch axis first; None begins a stream, and an
  encoder without state has an empty mapping. What comes back is detached: gradients stay
  within a chunk. Names, shapes and dtypes of a state are checked, its values are not: they are
  the encoder's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from deepseek_core import errors
from deepseek_fusion.states import StateSpec, check_names, check_shape

State = Mapping[str, Tensor]
"""Named tensors that a stream carries; the names are those of the encoder's `state_specs`."""


class Tokens(NamedTuple):
    """What an encoder gives: tokens (N, S, D), mask (N, S) of those that are there, state."""

    tokens: Tensor
    mask: Tensor
    state: State


@runtime_checkable
class Encoder(Protocol):
    """Turns one modality into tokens; a `torch.nn.Module` that has these members.

    `width` is D; `state_specs` describes the state, empty for an encoder without any.
    """

    width: int
    state_specs: tuple[StateSpec, ...]

    def encode(self, x: Tensor, mask: Tensor | None = None, state: State | None = None) -> Tokens:
        """Encode a batch, or the next chunk of each of its streams.

        Raises:
            InputError: what came in does not fit; says what, where and what to do.
        """
        ...


@runtime_checkable
class StreamEncoder(Encoder, Protocol):
    """An encoder of endless input: what it gives for chunks is what it gives for the whole.

    `frame` is how many steps of input make one token; a chunk is whole frames.
    """

    frame: int


def frame_of(encoder: Encoder) -> int:
    """How many steps of input make one token; 1 for an encoder that does not stream."""
    return encoder.frame if isinstance(encoder, StreamEncoder) else 1


def dtype_name(value: Tensor) -> str:
    """Name a dtype as numpy and the SDK do: `float32`."""
    return str(value.dtype).removeprefix("torch.")


def check_tensor(what: str, value: object, device: torch.device | None = None) -> None:
    """Check that a tensor was given, and on this device where one is wanted.

    Raises:
        TensorMismatch: something else, or elsewhere.
    """
    if not isinstance(value, Tensor):
        raise errors.TensorMismatch(
            f"{what} must be a torch tensor, got {type(value).__name__}",
            remedy="torch.from_numpy(array), or torch.tensor(values)",
        )
    if device is not None and value.device != device:
        raise errors.TensorMismatch(
            f"{what} is on {value.device}, the input on {device}",
            remedy="move all to one device: `value.to(x.device)`",
        )


def begin_state(specs: tuple[StateSpec, ...], x: Tensor) -> State:
    """Make the state that the streams of a batch begin with, beside `x`."""
    return {
        spec.name: torch.full(
            spec.full_shape(x.shape[0]),
            spec.init,
            dtype=getattr(torch, spec.dtype),
            device=x.device,
        )
        for spec in specs
    }


def entered_state(specs: tuple[StateSpec, ...], x: Tensor, state: State | None) -> State:
    """Check a state where it enters, in the order of `specs`; None begins a stream.

    Raises:
        InputError: it is of another encoder, batch size or dtype, or no mapping.
    """
    if state is None:
        return begin_state(specs, x)
    if not isinstance(state, Mapping):
        raise errors.InputError(
            f"a state is a mapping of named tensors, got {type(state).__name__}",
            remedy="pass the third value that encode() returned",
        )
    if not torch.compiler.is_exporting():  # an exported graph's sizes are symbols
        check_names(specs, state)
        for spec in specs:
            _check_state_tensor(spec, state[spec.name], x)
    return {spec.name: state[spec.name] for spec in specs}


def _check_state_tensor(spec: StateSpec, value: Tensor, x: Tensor) -> None:
    check_tensor(f"state {spec.name!r}", value, x.device)
    check_shape(spec, value.shape, x.shape[0])
    if value.dtype != getattr(torch, spec.dtype):
        raise errors.TensorMismatch(
            f"state {spec.name!r}: expected {spec.dtype}, given {dtype_name(value)}",
            remedy="pass the state as encode() returned it",
        )


def passed_on(specs: tuple[StateSpec, ...], state: State) -> State:
    """Give a state as the next chunk takes it: detached, and of the dtypes described."""
    return {spec.name: state[spec.name].detach().to(getattr(torch, spec.dtype)) for spec in specs}


def entered_mask(x: Tensor, mask: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Check a mask where it enters; None means that all is there.

    Raises:
        TensorMismatch: it is not bool, or not of this shape.
    """
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=x.device)
    if torch.compiler.is_exporting():
        return mask
    check_tensor("the mask", mask, x.device)
    if mask.dtype != torch.bool or tuple(mask.shape) != tuple(shape):
        raise errors.TensorMismatch(
            f"the mask must be bool of shape {list(shape)}, "
            f"got {dtype_name(mask)} of {list(mask.shape)}",
            remedy="True stands for what is there: `mask = lengths[:, None] > torch.arange(T)`",
        )
    return mask


def entered_values(x: Tensor, mask: Tensor) -> Tensor:
    """Give `x` with zeros where `mask` is False, once what is there was found finite.

    `mask` has the first axes of `x`.

    Raises:
        InputError: NaN or infinity in what is there; says in how many rows, and which first.
    """
    there = mask.reshape(*mask.shape, *([1] * (x.ndim - mask.ndim)))
    clean = torch.where(there, x, torch.zeros((), dtype=x.dtype, device=x.device))
    if not torch.compiler.is_exporting() and not bool(torch.isfinite(clean).all()):
        bad = (~torch.isfinite(clean)).flatten(1).any(1).nonzero().flatten()
        raise errors.InputError(
            f"NaN or infinity in {bad.numel()} of {x.shape[0]} rows, first in row {int(bad[0])}",
            remedy="repair the features, or mask them out: what is masked never matters",
        )
    return clean


def check_floats(x: Tensor, channels: int, *, ndim: int, channel_axis: int) -> None:
    """Check dtype, rank and channels of an input of numbers.

    Raises:
        TensorMismatch: one of them differs.
    """
    check_tensor("the input", x)
    if x.is_floating_point() and x.ndim == ndim and x.shape[channel_axis] == channels:
        return
    raise errors.TensorMismatch(
        f"the input must be floats of {ndim} axes with {channels} channels on axis "
        f"{channel_axis}, got {dtype_name(x)} of {list(x.shape)}",
        remedy="permute or cast it before the call",
    )


def check_ids(x: Tensor) -> None:
    """Check dtype and rank of an input of ids.

    Raises:
        TensorMismatch: one of them differs.
    """
    check_tensor("the input", x)
    if x.dtype in (torch.int64, torch.int32) and x.ndim == 2:
        return
    raise errors.TensorMismatch(
        f"the input must be whole numbers (rows, steps), got {dtype_name(x)} of {list(x.shape)}",
        remedy="pass ids of tokens as int64, one row a text",
    )
