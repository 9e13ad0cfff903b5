"""Definitions that nothing in the sources names, each with the reason why it stays.

A pattern of keys, as `fnmatch` has them: `package.module:Class.member`.
"""

_TOLD = "a field of a record, which `plugin-info --json` shows whole"
_ENGINE = "engines for training, which come as plugins, call it; the conformance kit holds it"

ALLOWED = {
    # named in another way
    "deepseek_core.cli.pictures.option_values:parse_*": "named by text in pictures/arguments.py",
    "deepseek_core.contracts.task:Workload.TRAINING": "a caller names it by its value, 'training'",
    "deepseek_core.contracts.compressor:CompressorSpec.lossy": _TOLD,
    "deepseek_core.contracts.tier:TierSpec.capabilities": _TOLD,
    "*:*._repr_html_": "notebooks call it by name",
    "deepseek_store.report.metrics_server:_Handler.do_GET": "http.server calls it by name",
    "deepseek_storage_s3.tls_relay:_Handler.do_*": "http.server calls them by name",
    "deepseek_store.maintenance:Maintenance.unpin": "users call it (howto/move_and_pin.md)",
    "deepseek_compress.train.intervals:over_seeds": "benchmarks give figures over seeds by it",
    "deepseek_parallel.checkpoint.dcp_files:_Verified.concat_path": "torch's reader calls it",
    "deepseek_parallel.checkpoint.staging:Staged.resolve_data": "torch's writer calls it",
    "deepseek_parallel.strategies.case:*": "the conformance kit trains it (conformance.py)",
    # for those who write plugins
    "deepseek_core.contracts.compressor:Compressor.*": _ENGINE,
    "deepseek_core.contracts.strategy:Strategy.*": _ENGINE,
    "deepseek_parallel.strategies.strategy:_block": _ENGINE,
    "deepseek_core.contracts.events.*:*.*": "plugins that listen read it",
    "deepseek_core.discovery.listeners:Process.heard_by": "deepseek_core.testing hears by it",
    "deepseek_core.discovery.deprecation:deprecated": "marks hooks that go; none does just now",
}
