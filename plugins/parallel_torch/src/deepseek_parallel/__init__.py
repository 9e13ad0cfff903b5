"""Training on several processes: gradients at 1 % of their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deepseek_parallel.balance.balancer import Balancer
    from deepseek_parallel.checkpoint.checkpoints import Checkpoints
    from deepseek_parallel.checkpoint.manifest import Manifest
    from deepseek_parallel.checkpoint.saving import Saving
    from deepseek_parallel.codec.compressor import TopK
    from deepseek_parallel.elastic.group import ElasticRanks
    from deepseek_parallel.elastic.share import share
    from deepseek_parallel.errors import (
        AnotherWriter,
        CheckpointDamaged,
        CheckpointMissing,
        CodeMismatch,
        JoinRefused,
        NotAMember,
        NotFiniteGradient,
        RankLost,
        SaveFailed,
        SaveUnfinished,
        StateMismatch,
    )
    from deepseek_parallel.sampling import Order
    from deepseek_parallel.server.parameter_server import ParameterServer, work_at_server
    from deepseek_parallel.sgd import CompressedSGD
    from deepseek_parallel.states import resharded

_WHERE: Final = {
    "AnotherWriter": "errors",
    "Balancer": "balance.balancer",
    "CheckpointDamaged": "errors",
    "CheckpointMissing": "errors",
    "Checkpoints": "checkpoint.checkpoints",
    "CodeMismatch": "errors",
    "CompressedSGD": "sgd",
    "ElasticRanks": "elastic.group",
    "JoinRefused": "errors",
    "Manifest": "checkpoint.manifest",
    "NotAMember": "errors",
    "NotFiniteGradient": "errors",
    "Order": "sampling",
    "ParameterServer": "server.parameter_server",
    "RankLost": "errors",
    "SaveFailed": "errors",
    "SaveUnfinished": "errors",
    "Saving": "checkpoint.saving",
    "StateMismatch": "errors",
    "TopK": "codec.compressor",
    "resharded": "states",
    "share": "elastic.share",
    "work_at_server": "server.parameter_server",
}

__all__ = [
    "AnotherWriter",
    "Balancer",
    "CheckpointDamaged",
    "CheckpointMissing",
    "Checkpoints",
    "CodeMismatch",
    "CompressedSGD",
    "ElasticRanks",
    "JoinRefused",
    "Manifest",
    "NotAMember",
    "NotFiniteGradient",
    "Order",
    "ParameterServer",
    "RankLost",
    "SaveFailed",
    "SaveUnfinished",
    "Saving",
    "StateMismatch",
    "TopK",
    "resharded",
    "share",
    "work_at_server",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is used: torch takes seconds.

    Raises:
        ConfigError: it needs torch, which isn't installed.
    """
    from importlib import import_module

    if name in _WHERE:
        try:
            return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            from deepseek_core import console, errors

            raise errors.ConfigError(
                f"{name} needs torch, which isn't installed",
                remedy=console.install_command("deepseek-parallel", extra="torch"),
            ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
