"""One store over hot, warm and cold tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepseek_store.planning.policy import Policy
    from deepseek_store.store import ObjectInfo, Store
    from deepseek_store.write.receipt import Receipt

_HOME = {
    "ObjectInfo": "store",
    "Policy": "planning.policy",
    "Receipt": "write.receipt",
    "Store": "store",
}

__all__ = ["ObjectInfo", "Policy", "Receipt", "Store"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
