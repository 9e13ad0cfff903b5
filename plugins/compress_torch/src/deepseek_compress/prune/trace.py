"""Run a model with ids beside its activations.

The model's own Python runs, on real values: what a view computes from a shape is computed again
for the pruned model, and what is written as a number is found out when it no longer fits. Two
modes of torch see every call: functions whose weights have a role, and below them each operator
that the rest comes down to. An operator without a rule keeps all channels that it meets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from deepseek_compress.errors import CannotPrune
from deepseek_compress.modules import unfused
from deepseek_compress.prune.classes import Mismatch, varying
from deepseek_compress.prune.rules import (  # noqa: F401 - for the rules that they register
    attention,
    contract,
    layout,
    linear,
    norm,
    recurrent,
    reduce,
)
from deepseek_compress.prune.rules.pointwise import pointwise
from deepseek_compress.prune.rules.registry import ATEN, FUNCTIONS, Call
from deepseek_compress.prune.run import Run, tensors_in

# What takes values out of torch, where they can't be followed.
_ESCAPES = {"numpy", "__array__", "tolist", "data_ptr", "__dlpack__", "item"}
_DEPENDS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique_dim",
    "_unique2",
    "unique_consecutive",
    "equal",
    "is_nonzero",
    "item",
    "bincount",
}
_VIEWS = {"view", "reshape", "unflatten"}


@attrs.frozen(kw_only=True)
class Example:
    """What the model is called with."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = attrs.field(factory=dict)


class _Functions(TorchFunctionMode):
    """Sees calls of torch's API. Field: `run`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        run, kwargs = self.run, kwargs or {}
        if run.busy:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if name == "__get__":
            return func(*args, **kwargs)
        if name in _ESCAPES and tensors_in(args[:1]) and run.mirror.knows(args[0]):
            run.operation = name
            raise run.refuse("the data leave torch, or decide what the model does")
        rule = FUNCTIONS.get(name)
        if rule is None or (
            not any(run.mirror.knows(t) for t in tensors_in([args, kwargs])) and name != "embedding"
        ):
            return self._below(name, func, args, kwargs)
        run.operation = name
        with run.quietly():
            out = func(*args, **kwargs)
            direct = getattr(func, "__module__", None) != "torch.nn.functional" and name in (
                "batch_norm",
                "instance_norm",
            )
            call = Call(name=f"torch.{name}" if direct else name, args=args, kwargs=kwargs, out=out)
            rule(run, call)
        return out

    def _below(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Let the operators below be seen; they are told where a view has its -1."""
        run = self.run
        run.hint = _hint(args) if name in _VIEWS else None
        try:
            return func(*args, **kwargs)
        finally:
            run.hint = None


def _hint(args: Any) -> int | None:
    """The axis that a view leaves open."""
    numbers = args[1] if len(args) == 2 and isinstance(args[1], list | tuple) else args[1:]
    base = 0
    if len(args) == 3 and isinstance(args[2], list | tuple):
        base, numbers = args[1] % max(args[0].dim(), 1), args[2]
    flat = [each for each in numbers if isinstance(each, int)]
    return base + flat.index(-1) if -1 in flat else None


class _Operators(TorchDispatchMode):
    """Sees every aten operator. Field: `run`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        run, kwargs = self.run, kwargs or {}
        if run.busy:
            return func(*args, **kwargs)
        with run.quietly():
            return _operate(run, func, args, kwargs)


def _operate(run: Run, func: Any, args: Any, kwargs: Any) -> Any:
    name = func._schema.name.rpartition("::")[2]
    given = tensors_in([args, kwargs])
    follows = any(run.mirror.knows(each) for each in given)
    if not follows and not _of_parameters(run, func, given):
        out = func(*args, **kwargs)
        _copies(run, name, given, out)
        return out
    run.operation = name
    if name in _DEPENDS and any(
        run.mirror.knows(t) and run.parameters.name_of(t) is None for t in given
    ):
        raise run.refuse("what the model does depends on the data")
    _written(run, func, args)
    run.blank = name == "copy_" and layout.is_blank(args[0])
    out = func(*args, **kwargs)
    _apply_rule(run, func, Call(name=name, args=args, kwargs=kwargs, out=out))
    return out


def _of_parameters(run: Run, func: Any, given: list[Tensor]) -> bool:
    """Whether a gain or a bias is being computed elementwise from a parameter's own channels."""
    if torch.Tag.pointwise not in func.tags or func._schema.name == "aten::clone":
        return False
    named = [t for t in given if run.parameters.name_of(t) is not None]
    return any(t.is_floating_point() and t.numel() == max(t.shape, default=1) > 1 for t in named)


def _copies(run: Run, name: str, given: list[Tensor], out: Any) -> None:
    """A cast of a parameter stands for it."""
    if name in ("_to_copy", "clone") and given and isinstance(out, Tensor):
        run.parameters.same_as(out, given[0])


def _written(run: Run, func: Any, args: Any) -> None:
    """Refuse to write into the model itself."""
    for argument, value in zip(func._schema.arguments, args, strict=False):
        if (
            argument.alias_info is not None
            and argument.alias_info.is_write
            and isinstance(value, Tensor)
        ):
            name = run.parameters.name_of(value)
            if name is not None:
                raise run.refuse(f"it writes into {name} while the model runs")


def _apply_rule(run: Run, func: Any, call: Call) -> None:
    rule = ATEN.get(call.name)
    if (
        call.name in ("max", "min")
        and isinstance(call.out, Tensor)
        and len(tensors_in(call.args)) == 2
    ):
        rule = pointwise
    if rule is None and torch.Tag.pointwise in func.tags:
        rule = pointwise
    if rule is not None:
        rule(run, call)
    elif not (layout.is_view(func) and all(run.mirror.knows(t) for t in tensors_in(call.out))):
        _opaque(run, call)


def _opaque(run: Run, call: Call) -> None:
    """An operator without a rule: what it meets stays as it is."""
    for each in tensors_in([call.args, call.kwargs]):
        run.pin(run.known(each), "no rule says what it does to channels")
    for out in tensors_in(call.out):
        if not run.mirror.knows(out) or not varying(run.known(out)):
            run.put(out, run.fixed(out))


def follow(run: Run, model: nn.Module, example: Example) -> Any:
    """Call the model with ids beside its activations; its output.

    Raises:
        CannotPrune: the model fails, does what can't be followed, or does not fit the plan.
    """
    args, kwargs = _fresh_inputs(run, example)
    try:
        with (
            torch.no_grad(),
            _named_calls(run, model),
            unfused(),
            _Functions(run),
            _Operators(run),
        ):
            out = model(*args, **kwargs)
        _keep_outputs(run, out)
    except CannotPrune:
        raise
    except Mismatch as error:
        raise run.refuse(str(error), error) from error
    except Exception as error:
        raise run.refuse(
            f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", error
        ) from error
    return out


def _keep_outputs(run: Run, out: Any) -> None:
    """What the model returns keeps its channels."""
    run.last = ("the output", "")
    found = tensors_in(out)
    if not found:
        raise run.refuse("it holds no tensors")
    for each in found:
        if run.mirror.knows(each) and each.numel():
            run.classes.pin(run.known(each), lambda: "it is an output of the model")
            run.saw(run.known(each))


def _fresh_inputs(run: Run, example: Example) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Copies of the inputs, whose channels are all fixed."""

    def copied(value: Any) -> Any:
        if isinstance(value, Tensor):
            fresh = value.detach().clone()
            run.put(fresh, run.fixed(fresh))
            return fresh
        if isinstance(value, dict):
            return {key: copied(each) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(copied(each) for each in value)
        return value

    return copied(example.args), copied(dict(example.kwargs))


@contextmanager
def _named_calls(run: Run, model: nn.Module) -> Iterator[None]:
    """Know which module is being called."""
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_enter(run, name), prepend=True))
        handles.append(module.register_forward_hook(_leave(run), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enter(run: Run, name: str) -> Any:
    def hook(module: nn.Module, args: Any) -> None:
        run.layers.append((name, module))

    return hook


def _leave(run: Run) -> Any:
    def hook(module: nn.Module, args: Any, out: Any) -> None:
        run.layers.pop()

    return hook
