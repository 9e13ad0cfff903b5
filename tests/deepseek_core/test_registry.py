"""The registry: events are isolated, locators load with attribution, frontends are found."""

import sys
import time

import plugin_zoo as zoo
import pytest

from deepseek_core import FrontendSpec
from deepseek_core.contracts.errors import ArtifactError, PluginError
from deepseek_core.contracts.events.base import Event
from deepseek_core.discovery import hooks
from deepseek_core.discovery.courier import COURIER
from deepseek_core.discovery.hooks import Hooks
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.registry import Registered, Registry, find_frontend, load_locator
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switches import Switches

LISTENER = """
    from deepseek_core import hookimpl, hooks

    heard = []

    @hookimpl(hooks.ds_on_event)
    def listen(event):
        heard.append(event)
        {deed}
    """


@pytest.fixture
def find(monkeypatch):
    """Discovers what is installed in a folder, whose modules are forgotten at the end."""

    def find(folder):
        monkeypatch.syspath_prepend(str(folder))
        return discover(Switches(), entry_points=scan([str(folder)]))

    yield find
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


def heard_by(name):
    return sys.modules[f"zoo_{name}.hooks"].heard


def test_every_listener_hears_although_one_raises(find, tmp_path, caplog):
    zoo.install(tmp_path, "a_deaf", hooks=LISTENER, deed="raise OSError('pager is off')")
    zoo.install(tmp_path, "b_exits", hooks=LISTENER, deed="raise SystemExit(1)")
    zoo.install(tmp_path, "c_well", hooks=LISTENER, deed="pass")
    registry = find(tmp_path)
    for _ in range(3):
        registry.emit(Event(time_s=time.time()))
    assert COURIER.drain(30)
    assert [len(heard_by(name)) for name in ("a_deaf", "b_exits", "c_well")] == [3, 3, 3]
    assert registry.listener_errors == {
        "a_deaf": "OSError: pager is off",
        "b_exits": "SystemExit: 1",
    }
    assert len(caplog.records) == 2, "each is noted once"
    assert "a_deaf" in caplog.text and "pager is off" in caplog.text


def test_a_listener_is_a_plugin_like_any_other(find, tmp_path):
    registry = find(zoo.install(tmp_path, "ear", hooks=LISTENER, deed="pass"))
    (row,) = registry.plugins
    assert (row.status, row.kinds, row.provides) == ("available", ("listener",), ())


def test_a_broken_plugin_hears_nothing(find, tmp_path):
    source = (
        LISTENER
        + """
    @hookimpl(hooks.ds_register_devices)
    def devices(ctx):
        raise RuntimeError("no")
    """
    )
    registry = find(zoo.install(tmp_path, "half", hooks=source, deed="pass"))
    registry.emit(Event(time_s=0.0))
    assert COURIER.drain(30)
    assert heard_by("half") == []


def test_emitting_without_plugins_does_nothing():
    Registry(plugins=(), switches=Switches()).emit(Event(time_s=0.0))


def test_a_locator_loads_what_it_names():
    assert load_locator("collections:OrderedDict", plugin="acme").__name__ == "OrderedDict"


@pytest.mark.parametrize(
    ("locator", "cause"),
    [
        ("no_such_module_x:Name", "ModuleNotFoundError: No module named 'no_such_module_x'"),
        ("collections:Nothing", "AttributeError: module 'collections' has no attribute 'Nothing'"),
        ("zoo_leaver:Name", "SystemExit: 4"),
    ],
)
def test_a_locator_that_fails_names_plugin_locator_and_cause(locator, cause, tmp_path, monkeypatch):
    (tmp_path / "zoo_leaver.py").write_text("raise SystemExit(4)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError) as caught:
        load_locator(locator, plugin="npu", dist="acme-npu")
    assert caught.value.message == f"plugin 'npu': can't load {locator}: {cause}"
    assert caught.value.remedy == "pip install -U acme-npu (or DEEPSEEK_DISABLE_PLUGINS=npu)"


def reader(name, formats, *, priority=0, **more):
    spec = FrontendSpec(name=name, formats=formats, factory="a.b:C", priority=priority)
    return Registered(record=spec, plugin=name, dist=f"acme-{name}", version="1.0", **more)


def registry_of(*frontends):
    return Registry(plugins=(), switches=Switches(), frontends=frontends)


def test_the_usable_frontend_of_highest_priority_reads():
    registry = registry_of(
        reader("slow", ["onnx"]),
        reader("fast", ["onnx", "tflite"], priority=1),
        reader("best", ["onnx"], priority=2, reason="needs gpu, not installed", remedy="buy one"),
    )
    assert find_frontend(registry, "onnx").plugin == "fast"


def test_a_frontend_that_lacks_something_says_what():
    registry = registry_of(reader("tf", ["tflite"], reason="needs tf, not installed", remedy="fix"))
    with pytest.raises(ArtifactError, match="'tf' reads tflite files, but needs tf") as caught:
        find_frontend(registry, "tflite")
    assert caught.value.remedy == "fix"


def test_a_format_that_nobody_reads_names_those_known():
    with pytest.raises(ArtifactError, match="known formats: onnx, tflite"):
        find_frontend(registry_of(reader("a", ["tflite", "onnx"])), "mlmodel")
    with pytest.raises(ArtifactError, match="no frontend is installed"):
        find_frontend(registry_of(), "onnx")


def test_a_plugin_is_found_by_name(find, tmp_path):
    registry = find(zoo.install(tmp_path, "well"))
    assert registry.plugin("well").dist == "zoo-well"
    with pytest.raises(PluginError, match="no plugin 'nobody'"):
        registry.plugin("nobody")


class Answer:
    """A plugin as an object."""

    def __init__(self, value, **order):
        mark = hooks.hookimpl(hooks.ds_register_devices, **order)
        self.devices = mark(lambda ctx: value)


def test_answers_have_authors_and_an_order():
    registered = Hooks()
    registered.register(Answer(1), "one")
    registered.register(Answer(2, trylast=True), "last")
    registered.register(Answer(3), "two")
    registered.register(Answer(4, tryfirst=True), "first")
    names = registered.implementers(hooks.ds_register_devices)
    assert names == ("first", "one", "two", "last")
    results = [registered.call_one(n, hooks.ds_register_devices, None) for n in names]
    assert [[(r.plugin, r.value) for r in each] for each in results] == [
        [("first", 4)], [("one", 1)], [("two", 3)], [("last", 2)],
    ]  # fmt: skip
    registered.unregister("one")
    registered.unregister("nobody")
    assert registered.implementers(hooks.ds_register_devices) == ("first", "two", "last")
    assert registered.call_one("one", hooks.ds_register_devices, ctx=None) == []


def test_one_object_is_no_two_plugins():
    registered, plugin = Hooks(), Answer(1)
    registered.register(plugin, "one")
    with pytest.raises(PluginError, match="already registered"):
        registered.register(plugin, "two")
