"""Training on several processes: gradients at 1 % of their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deepseek_parallel.balance.balancer import Balancer
    from deepseek_parallel.checkpoint.checkpoints import Checkpoints
    from deepseek_parallel.checkpoint.manifest import Manifest
    from deepseek_parallel.checkpoint.neighbors import NeighborCopies
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
        MeshMismatch,
        NotAMember,
        NotFiniteGradient,
        NotFiniteLoss,
        RankFailed,
        RankLost,
        SaveFailed,
        SaveUnfinished,
        StateMismatch,
    )
    from deepseek_parallel.hazard.gaps import failure_predictor
    from deepseek_parallel.hazard.interval import SaveInterval
    from deepseek_parallel.hazard.past import predictor_of_log
    from deepseek_parallel.sampling import Order
    from deepseek_parallel.server.parameter_server import ParameterServer
    from deepseek_parallel.server.worker import work_at_server
    from deepseek_parallel.sgd import CompressedSGD
    from deepseek_parallel.states import resharded
    from deepseek_parallel.strategies.measuring import measured_cluster
    from deepseek_parallel.strategies.norm import fit_optimizer
    from deepseek_parallel.strategies.profiling import profile
    from deepseek_parallel.strategies.splitting import Splitting, split
    from deepseek_parallel.trainer.evaluation import EarlyStop, Evaluation
    from deepseek_parallel.trainer.events import Event
    from deepseek_parallel.trainer.report import Recovery, Report
    from deepseek_parallel.trainer.tracing import Trace
    from deepseek_parallel.trainer.trainer import Trainer

_WHERE: Final = {
    "AnotherWriter": "errors",
    "Balancer": "balance.balancer",
    "CheckpointDamaged": "errors",
    "CheckpointMissing": "errors",
    "Checkpoints": "checkpoint.checkpoints",
    "CodeMismatch": "errors",
    "CompressedSGD": "sgd",
    "EarlyStop": "trainer.evaluation",
    "ElasticRanks": "elastic.group",
    "Evaluation": "trainer.evaluation",
    "Event": "trainer.events",
    "JoinRefused": "errors",
    "Manifest": "checkpoint.manifest",
    "MeshMismatch": "errors",
    "NeighborCopies": "checkpoint.neighbors",
    "NotAMember": "errors",
    "NotFiniteGradient": "errors",
    "NotFiniteLoss": "errors",
    "Order": "sampling",
    "ParameterServer": "server.parameter_server",
    "RankFailed": "errors",
    "RankLost": "errors",
    "Recovery": "trainer.report",
    "Report": "trainer.report",
    "SaveFailed": "errors",
    "SaveInterval": "hazard.interval",
    "SaveUnfinished": "errors",
    "Saving": "checkpoint.saving",
    "Splitting": "strategies.splitting",
    "StateMismatch": "errors",
    "TopK": "codec.compressor",
    "Trace": "trainer.tracing",
    "Trainer": "trainer.trainer",
    "failure_predictor": "hazard.gaps",
    "fit_optimizer": "strategies.norm",
    "measured_cluster": "strategies.measuring",
    "predictor_of_log": "hazard.past",
    "profile": "strategies.profiling",
    "resharded": "states",
    "share": "elastic.share",
    "split": "strategies.splitting",
    "work_at_server": "server.worker",
}

__all__ = [
    "AnotherWriter",
    "Balancer",
    "CheckpointDamaged",
    "CheckpointMissing",
    "Checkpoints",
    "CodeMismatch",
    "CompressedSGD",
    "EarlyStop",
    "ElasticRanks",
    "Evaluation",
    "Event",
    "JoinRefused",
    "Manifest",
    "MeshMismatch",
    "NeighborCopies",
    "NotAMember",
    "NotFiniteGradient",
    "NotFiniteLoss",
    "Order",
    "ParameterServer",
    "RankFailed",
    "RankLost",
    "Recovery",
    "Report",
    "SaveFailed",
    "SaveInterval",
    "SaveUnfinished",
    "Saving",
    "Splitting",
    "StateMismatch",
    "TopK",
    "Trace",
    "Trainer",
    "failure_predictor",
    "fit_optimizer",
    "measured_cluster",
    "predictor_of_log",
    "profile",
    "resharded",
    "share",
    "split",
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
