from bad_samples.table import SAMPLES, camel
from deepseek_core import StrategySpec, hookimpl, hooks

conformance = "bad_samples.strategies_conformance"


@hookimpl(hooks.ds_register_parallel_strategies)
def strategies(ctx):
    return [
        StrategySpec(
            name=name,
            axes=["dp", "tp"],
            factory=f"bad_samples.strategies:{camel(name)}",
            elastic=name != "takes_none",
        )
        for name in SAMPLES["strategy"]
    ]
