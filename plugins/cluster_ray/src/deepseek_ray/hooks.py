"""What this plugin offers: an executor over the nodes of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import ExecutorSpec, HostContext, hookimpl, hooks

conformance = "deepseek_ray.conformance"
settings = "deepseek_ray.settings:Settings"


@hookimpl(hooks.ds_register_executors)
def ds_register_executors(ctx: HostContext) -> Iterable[ExecutorSpec]:
    """Offer the cluster by name."""
    return [
        ExecutorSpec(
            name="ray",
            summary="every device of every node of a Ray cluster",
            factory="deepseek_ray.executor:RayExecutor",
            place="deepseek_ray.cluster:open_cluster",
            launcher="deepseek_ray.launching.launcher:open_launcher",
            requires=("ray", "numpy"),
        )
    ]
