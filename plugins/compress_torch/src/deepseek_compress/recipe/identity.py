"""What tells one model from another: its weights, its structure, and the code that it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from deepseek_compress.recipe.models import SourceModel


def model_hashes(source: SourceModel, functions: Mapping[str, Any]) -> dict[str, str]:
    """sha256 by part: `weights`, `code` of a module; each function's code by its name."""
    found = {name: _of_texts([_source(f)]) for name, f in functions.items() if f is not None}
    if source.form == "onnx":
        return {"weights": sha256(source.model.read()).hexdigest(), **found}
    if source.student is not None:
        found |= {"student_weights": _weights(source.student), "student": _code(source.student)}
    return {"weights": _weights(source.model), "code": _code(source.model), **found}


def _weights(model: Any) -> str:
    whole = sha256(str(model).encode())
    for name, tensor in model.state_dict().items():
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # As bytes: numpy lacks some of torch's types.
        whole.update(_bytes_of(tensor))
    return whole.hexdigest()


def _bytes_of(tensor: Any) -> Any:
    import torch

    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().data if plain.numel() else b""


def _code(model: Any) -> str:
    """Code of the classes that are not torch's own, in the order of their names."""
    kinds = {type(part) for part in model.modules()}
    own = {k for k in kinds if not k.__module__.startswith("torch.")}
    return _of_texts(_source(k) for k in sorted(own, key=lambda k: (k.__module__, k.__qualname__)))


def _of_texts(texts: Any) -> str:
    return sha256("\n".join(texts).encode()).hexdigest()


def _source(thing: Callable[..., Any]) -> str:
    """Source text; of a callable object its type's; the name alone where there is none."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    try:
        return inspect.getsource(named)
    except (OSError, TypeError):
        return f"{named.__module__}.{named.__qualname__}"
