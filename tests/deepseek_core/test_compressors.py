"""Compressors are made by name, whichever plugin they come from; options are checked."""

import plain_compressors
import pytest

from deepseek_core import CompressorSpec, open_compressor
from deepseek_core.contracts.errors import ConfigError, DeviceUnavailable, PluginError
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.switches import Switches


def offered(name="halve", *, target="model", made="Step", options="Options", probe=None, **why):
    record = CompressorSpec(
        name=name,
        target=target,
        takes="torch" if target == "model" else "",
        factory=f"plain_compressors:{made}",
        options=f"plain_compressors:{options}" if options else None,
        probe=f"plain_compressors:{probe}" if probe else None,
    )
    return Registered(record=record, plugin=name, dist=f"acme-{name}", version="1.0", **why)


def opened(options=None, *records, name="halve"):
    registry = Registry(plugins=(), switches=Switches(), compressors=records or (offered(),))
    return open_compressor(name, options, registry=registry)


def test_a_step_is_made_with_its_options_and_their_defaults():
    step = opened({"share": 1, "layers": ["a", "b"]})
    expected = {"share": 1.0, "rounds": 3, "layers": ("a", "b")}
    assert dict(step.options) == expected
    assert step.compressor.options == expected
    assert step.spec.name == "halve"


def test_a_compressor_of_arrays_has_no_options():
    plain = offered("plain", target="data", made="Plain", options=None)
    assert isinstance(opened(None, plain, name="plain").compressor, plain_compressors.Plain)
    with pytest.raises(ConfigError, match="has no options; given level"):
        opened({"level": 3}, plain, name="plain")


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"shere": 0.5}, "no option 'shere'", "did you mean share"),
        ({"share": "much"}, "share must be a number, got 'much'", "correct the step"),
        ({"share": 0.5, "rounds": 1.5}, "rounds must be a whole number, got 1.5", "correct"),
        ({"share": 2.0}, "share is above 1", "correct the step"),
        ({}, "needs share", "add share to the step"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(options, message, remedy):
    with pytest.raises(ConfigError) as refused:
        opened(options)
    assert message in refused.value.message
    assert refused.value.message.startswith("step 'halve'")
    assert remedy in refused.value.remedy


def test_a_name_that_nobody_offers_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean halve"):
        opened(None, name="halv")


def test_what_it_lacks_is_told():
    with pytest.raises(ConfigError, match="needs torch") as refused:
        opened({}, offered(reason="needs torch, not installed", remedy="pip install torch"))
    assert refused.value.remedy == "pip install torch"


def test_a_probe_is_asked_before_anything_is_made():
    assert opened({"share": 0.5}, offered(probe="is_here")).options["share"] == 0.5
    with pytest.raises(DeviceUnavailable, match="no board"):
        opened({"share": 0.5}, offered(probe="is_missing", made="broken"))
    with pytest.raises(PluginError, match="can't probe compressor halve"):
        opened({"share": 0.5}, offered(probe="broken"))


def test_a_factory_that_makes_something_else_is_the_plugins_fault():
    with pytest.raises(PluginError, match="made a Plain, which is no ModelCompressor"):
        opened(None, offered(made="Plain", options=None))
    with pytest.raises(PluginError, match="no luck"):
        opened(None, offered(made="broken", options=None))
    with pytest.raises(PluginError, match="not an attrs class"):
        opened({}, offered(options="broken"))


def test_a_record_for_models_says_what_it_takes():
    with pytest.raises(ConfigError, match="does not say which form"):
        CompressorSpec(name="halve", target="model", factory="a.b:c")
