"""Whatever a stranger's code raises, and wherever, becomes his row or his error; the rest works."""

import asyncio
import json
import sys
import threading
import time

import plugin_zoo as zoo
import pytest

from deepseek_core import DeviceInfo, DeviceSpec, Session, errors, open_tier
from deepseek_core.contracts.device import OpenOptions
from deepseek_core.contracts.errors import DeepSeekError, DeviceUnavailable, PluginError
from deepseek_core.contracts.events.base import Event
from deepseek_core.discovery.courier import COURIER
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe_result import ended
from deepseek_core.discovery.registry import Registered, load_locator
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.status import Status
from deepseek_core.discovery.strangers import (
    Overdue,
    one_line,
    raise_if_ours,
    repr_of,
    text_of,
    told,
)
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.pool import DevicePool

# Errors as statements; each stands where a plugin may raise.
RAISED = {
    "cancelled": "import asyncio\nraise asyncio.CancelledError",
    "generator_exit": "raise GeneratorExit",
    "system_exit": "raise SystemExit('no license')",
    "rust_panic": """
        class PanicException(BaseException):
            __module__ = "pyo3_runtime"

        raise PanicException("called `Option::unwrap()` on a `None` value")
        """,
    "mute": """
        class Mute(BaseException):
            def __str__(self):
                raise GeneratorExit
            __repr__ = __str__

        raise Mute
        """,
    "liar": """
        from deepseek_core import errors

        class Liar(BaseException):
            __class__ = errors.PluginError

        raise Liar("I am yours")
        """,
    "unnamed": """
        class Meta(type):
            @property
            def __name__(cls):
                raise SystemExit

        class Unnamed(BaseException, metaclass=Meta):
            pass

        raise Unnamed
        """,
    "half_ours": """
        from deepseek_core import errors

        class Half(errors.PluginError):
            def __init__(self):
                pass

            def __str__(self):
                raise KeyError

        raise Half
        """,
    "odd_remedy": """
        from deepseek_core import errors

        error = errors.ConfigError("the board is odd")
        error.message, error.remedy = 7, ["turn", "it"]
        raise error
        """,
    "falsy": """
        class Falsy(Exception):
            def __bool__(self):
                raise SystemExit
            __len__ = __bool__

        raise Falsy("counts as nothing")
        """,
    "control": "raise RuntimeError('\\x1b[31mall is well\\x1b[0m\\r\\n\\udcff')",
    "huge": "raise RuntimeError('much ' * 1_000_000)",
    "group": "raise ExceptionGroup('two boards', [OSError('on fire'), ValueError()])",
    "base_group": "raise BaseExceptionGroup('two boards', [GeneratorExit('off'), ValueError()])",
    "recursion": """
        def deeper():
            deeper()

        deeper()
        """,
    "memory": "raise MemoryError",
    "no_name": "raise ModuleNotFoundError('no driver', name=7)",
    "stop_iteration": "raise StopIteration(3)",
    "traceback_less": """
        class Bare(BaseException):
            @property
            def __traceback__(self):
                raise SystemExit

        raise Bare("no trace")
        """,
}
TOLD = {
    "cancelled": "CancelledError",
    "generator_exit": "GeneratorExit",
    "system_exit": "SystemExit: no license",
    "rust_panic": "PanicException: called `Option::unwrap()` on a `None` value",
    "mute": "Mute: (its text can't be had)",
    "liar": "Liar: I am yours",
    "unnamed": "Unnamed",
    "half_ours": "Half: (its text can't be had)",
    "odd_remedy": "7",
    "falsy": "Falsy: counts as nothing",
    "control": r"RuntimeError: \x1b[31mall is well\x1b[0m \xff",
    "huge": "RuntimeError: much much",
    "group": "ExceptionGroup: two boards; the first: OSError: on fire",
    "base_group": "BaseExceptionGroup: two boards; the first: GeneratorExit: off",
    "recursion": "RecursionError: maximum recursion depth exceeded",
    "memory": "MemoryError",
    "no_name": "ModuleNotFoundError: no driver",
    "stop_iteration": "StopIteration: 3",
    "traceback_less": "Bare: no trace",
}
each = pytest.mark.parametrize("name", RAISED)


def body(name, depth=1):
    """The statements that raise, indented to stand in a function."""
    from textwrap import dedent, indent

    return indent(dedent(RAISED[name]), "    " * depth)


@pytest.fixture
def find(monkeypatch, tmp_path):
    """Discovers what is installed in a folder, whose modules are forgotten at the end."""

    def find(**switches):
        monkeypatch.syspath_prepend(str(tmp_path))
        return discover(Switches(**switches), entry_points=scan([str(tmp_path)]))

    yield find
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


def row_of(find, name):
    """The row of the plugin, beside one that is well."""
    registry = find()
    assert registry.plugin("well").status is Status.AVAILABLE
    return registry.plugin(name)


@each
def test_at_import_it_is_the_plugins_row(name, find, tmp_path):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, "a_bad", hooks=body(name, 0))
    row = row_of(find, "a_bad")
    assert row.status is Status.BROKEN
    assert TOLD[name] in row.reason
    assert row.reason.isprintable() and len(row.reason) < 800
    assert row.remedy.isprintable()


HOOK = """
from deepseek_core import DeviceSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
"""


@each
@pytest.mark.parametrize("late", [False, True])
def test_in_a_hook_or_its_generator_it_is_the_plugins_row(name, late, find, tmp_path):
    zoo.install(tmp_path, "well")
    yields = "    yield DeviceSpec(name='x', kind='sim', factory='a.b:C', probe='a.b:d')\n"
    zoo.install(tmp_path, "a_bad", hooks=HOOK + (yields if late else "") + body(name) + "\n")
    row = row_of(find, "a_bad")
    assert row.status is Status.BROKEN
    if not (late and name == "stop_iteration"):  # Python itself turns it into a RuntimeError
        assert TOLD[name] in row.reason
    assert [device.dist for device in find().devices] == ["zoo-well"]


SETTINGS = """
import attrs

@attrs.frozen(kw_only=True)
class Settings:
    depth: int = 3

    def __attrs_post_init__(self):
"""


@each
def test_in_a_settings_class_it_is_the_plugins_row(name, find, tmp_path):
    zoo.install(tmp_path, "well")
    files = {"settings.py": SETTINGS + body(name, 2) + "\n"}
    hooks = 'settings = "{module}.settings:Settings"\n' + zoo.HOOKS
    zoo.install(tmp_path, "a_bad", hooks=hooks, files=files)
    assert row_of(find, "a_bad").status in (Status.UNAVAILABLE, Status.BROKEN)


LISTENER = """
from deepseek_core import hookimpl, hooks

@hookimpl(hooks.ds_on_event)
def listen(event):
"""


@each
def test_in_a_listener_it_never_breaks_the_caller(name, find, tmp_path):
    heard = LISTENER + "    heard.append(event)\n\nheard = []\n"
    zoo.install(tmp_path, "a_bad", hooks=LISTENER + body(name) + "\n")
    zoo.install(tmp_path, "b_well", hooks=heard)
    registry = find()
    registry.emit(Event(time_s=0.0))
    assert COURIER.drain(30)
    assert len(sys.modules["zoo_b_well.hooks"].heard) == 1
    assert list(registry.listener_errors) == ["a_bad"]


def raiser(tmp_path, monkeypatch, name, function="act(*_)"):
    """A module whose function raises; its name."""
    module = f"zoo_raiser_{name}"
    (tmp_path / f"{module}.py").write_text(f"def {function}:\n{body(name)}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return module


@each
def test_in_a_device_factory_it_is_a_device_that_cant_be_opened(name, tmp_path, monkeypatch):
    module = raiser(tmp_path, monkeypatch, name)
    spec = DeviceSpec(name="x", kind="sim", factory=f"{module}:act", probe=f"{module}:act")
    row = DeviceInfo(id="x:0", kind="sim", name="x", evidence="model")
    owner = Registered(record=spec, plugin="bad", dist="zoo-bad", version="1")
    pool = DevicePool(
        [ended(owner, Status.AVAILABLE, rows=(row,))], OpenOptions(threads=1, cache_dir=tmp_path)
    )
    with pytest.raises((DeviceUnavailable, PluginError, errors.ConfigError)):
        pool.open("x:0")
    assert pool.present() == ()
    assert pool.why_out()["x:0"].isprintable()


@each
def test_in_a_tier_factory_it_is_an_error_of_that_plugin(name, tmp_path, monkeypatch, find):
    hooks = """
        from deepseek_core import TierSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_storage_tiers)
        def tiers(ctx):
            return [TierSpec(name="t", temperature="cold", schemes=["zz"],
                             factory="{module}.device:act")]
        """
    zoo.install(tmp_path, "bad", hooks=hooks, probe=f"def act(url):\n{body(name)}\n")
    with pytest.raises(DeepSeekError) as caught:
        open_tier("zz://x", registry=find())
    if name not in ("half_ours", "odd_remedy"):
        assert caught.value.message.startswith("plugin 'bad' can't open zz://x: ")


FRONTEND = """
from deepseek_core import FrontendSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_frontends)
def frontends(ctx):
    return [FrontendSpec(name="f", formats=["zz"], factory="{module}.device:act")]
"""
READER = "def act():\n    return Reader()\n\nclass Reader:\n    def read(self, *_):\n"


@each
@pytest.mark.parametrize("at_reading", [False, True])
def test_in_a_reader_or_its_factory_it_is_an_error_of_that_plugin(name, at_reading, tmp_path, find):
    source = READER + body(name, 2) if at_reading else f"def act():\n{body(name)}"
    zoo.install(tmp_path, "bad", hooks=FRONTEND, probe=source + "\n")
    (tmp_path / "m.zz").write_text("")
    with (
        Session(registry=find(), cache_dir=tmp_path / "cache") as session,
        pytest.raises(DeepSeekError) as caught,
    ):
        session.load(tmp_path / "m.zz")
    if name not in ("half_ours", "odd_remedy"):
        assert caught.value.message.startswith(f"plugin 'bad' can't read {tmp_path}/m.zz: ")


@each
def test_in_a_plugin_of_the_older_api_it_is_the_plugins_row(name, find, tmp_path):
    zoo.install(tmp_path, "well")
    hooks = f"def ds_register_devices():\n{body(name)}\n"
    zoo.install(tmp_path, "a_bad", hooks=hooks, group="deepseek_sdk.plugins.v0")
    row = row_of(find, "a_bad")
    assert row.status is Status.BROKEN
    assert TOLD[name] in row.reason


@each
def test_at_a_locator_it_is_an_error_of_that_plugin(name, tmp_path, monkeypatch):
    (tmp_path / "zoo_lazy.py").write_text(f"def __getattr__(name):\n{body(name)}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "zoo_lazy", raising=False)
    with pytest.raises(PluginError, match="plugin 'bad': can't load zoo_lazy:act: "):
        load_locator("zoo_lazy:act", plugin="bad", dist="zoo-bad")
    del sys.modules["zoo_lazy"]


COMMANDS = """
from deepseek_core import CheckSpec, CommandSpec, DeviceSpec, hookimpl, hooks

NAMES = {names}

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [CommandSpec(name=name.replace("_", "-"), main=f"{module}.device:{name}")
            for name in NAMES]

@hookimpl(hooks.ds_register_checks)
def checks(ctx):
    return [CheckSpec(name=name, run=f"{module}.device:{name}") for name in NAMES]

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [DeviceSpec(name=name, kind="sim", factory="a.b:C", probe=f"{module}.device:{name}")
            for name in NAMES]
""".replace("{name}", "{{name}}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One plugin whose commands, checks and probes raise everything."""
    folder = tmp_path_factory.mktemp("raising")
    sources = "".join(f"def {name}(*_):\n{body(name)}\n\n" for name in RAISED)
    hooks = COMMANDS.replace("{{name}}", "{name}").replace("{names}", repr(list(RAISED)))
    zoo.install(folder, "bad", hooks=hooks, probe=sources)
    return zoo.install(folder, "well")


@pytest.fixture
def env(tmp_path):
    """Two plugins, a cache and a configuration of the test's own."""
    return {
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_CONFIG": str(tmp_path / "config.toml"),
        "DEEPSEEK_PLUGINS": "bad,well",
    }


@each
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_in_a_command_it_is_one_sentence(name, debug, folder, env):
    process = zoo.ds_sdk(name.replace("_", "-"), *debug, path=[folder], env=env)
    assert process.returncode in (1, 2)
    said = process.stderr[process.stderr.index("error: ") :]
    assert TOLD[name].removeprefix("SystemExit: ") in said
    if name not in ("system_exit", "half_ours", "odd_remedy"):
        assert f"plugin 'bad' failed: {TOLD[name]}" in said
    assert ("Traceback" in process.stderr) <= bool(debug)


def test_in_a_probe_each_is_a_row(folder, env):
    process = zoo.ds_sdk("devices", "--json", path=[folder], env=env)
    assert process.returncode == 0, process.stderr
    rows = {row["spec"]: row for row in json.loads(process.stdout)["devices"]}
    assert rows["well"]["status"] == "available"
    for name in RAISED:
        assert rows[name]["status"] in ("broken", "unavailable"), name
        expected = "the probe wanted more than" if name == "memory" else TOLD[name]
        assert expected in rows[name]["reason"], rows[name]


def test_in_a_check_each_is_a_row_of_doctor(folder, env):
    process = zoo.ds_sdk("doctor", "--json", path=[folder], env=env)
    assert process.returncode == 0, process.stderr
    found = {check["name"]: check for check in json.loads(process.stdout)["checks"]}
    for name in RAISED:
        assert found[f"bad {name}"]["status"] == "fail", name
        if name != "memory":
            assert TOLD[name] in found[f"bad {name}"]["message"], name


@pytest.mark.parametrize("name", ["cancelled", "mute", "liar", "huge"])
def test_the_conformance_kit_fails_such_a_plugin_and_ends_in_order(name, tmp_path):
    zoo.install(tmp_path, "bad", hooks=body(name, 0))
    process = zoo.ds_sdk(
        "check-plugin", "bad", "--json", path=[tmp_path], env={"PYTHONWARNINGS": "default"}
    )
    assert process.returncode == 1, process.stderr
    assert json.loads(process.stdout)["rules"]
    assert "Traceback" not in process.stderr


def test_ctrl_c_at_an_import_names_the_plugin(tmp_path):
    zoo.install(tmp_path, "stopped", hooks="raise KeyboardInterrupt\n")
    process = zoo.ds_sdk("list-plugins", path=[tmp_path])
    assert process.returncode == 130
    assert process.stderr == "error: stopped by Ctrl-C while plugin 'stopped' was loaded\n"


def test_in_a_child_a_keyboard_interrupt_is_the_plugins(tmp_path):
    probe = "def probe():\n    raise KeyboardInterrupt\n"
    zoo.install(tmp_path, "stops", probe=probe)
    env = {"DEEPSEEK_PLUGINS": "stops", "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache")}
    process = zoo.ds_sdk("devices", "--json", path=[tmp_path], env=env)
    (row,) = json.loads(process.stdout)["devices"]
    assert (row["status"], row["reason"]) == ("broken", "the probe raised KeyboardInterrupt")


def test_an_object_that_cant_be_compared_keeps_nobody_out(find, tmp_path):
    hooks = """
        from deepseek_core import hookimpl, hooks

        class Plugin:
            __hash__ = None

            def __eq__(self, other):
                raise SystemExit("no comparison")

            @hookimpl(hooks.ds_on_event)
            def listen(self, event):
                pass

        plugin = Plugin()
        """
    zoo.install(tmp_path, "a_bad", hooks=hooks)
    zoo.describe(tmp_path, "zoo-a-bad", "1.0.0", f"[{zoo.V1}]\na_bad = zoo_a_bad.hooks:plugin\n")
    zoo.install(tmp_path, "well")
    assert {row.name: row.status for row in find().plugins} == {
        "a_bad": "available",
        "well": "available",
    }


def test_what_only_claims_to_be_a_record_is_refused(find, tmp_path):
    hooks = """
        from deepseek_core import DeviceSpec, hookimpl, hooks

        class Fake:
            __class__ = DeviceSpec
            name = "fake"
            requires = ()

            def __repr__(self):
                raise SystemExit

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            return [Fake()]
        """
    zoo.install(tmp_path, "bad", hooks=hooks)
    (row,) = find().plugins
    assert row.status is Status.BROKEN
    assert "must return an iterable of DeviceSpec; one of them is (its text can't be had)" in (
        row.reason
    )


def test_an_import_that_catches_everything_is_still_ended(find, tmp_path):
    hooks = """
        import time
        for _ in range(3):
            try:
                time.sleep(600)
            except BaseException:
                pass
        """
    zoo.install(tmp_path, "stubborn", hooks=hooks)
    start_s = time.monotonic()
    (row,) = find(load_timeout_s=0.2).plugins
    assert (row.status, row.reason) == (Status.BROKEN, "it implements no hook")
    assert time.monotonic() - start_s < 30


def test_the_end_of_the_time_counts_within_a_group_of_errors(find, tmp_path):
    hooks = """
        import time
        try:
            time.sleep(600)
        except BaseException as error:
            raise BaseExceptionGroup("a task group's way", [ValueError(), error])
        """
    zoo.install(tmp_path, "grouped", hooks=hooks)
    (row,) = find(load_timeout_s=0.2).plugins
    assert row.reason == "its import did not end in 0.2 s"


def test_an_error_whose_text_takes_for_ever_is_ended(find, tmp_path):
    hooks = """
        import time

        class Slow(Exception):
            def __str__(self):
                time.sleep(600)

        raise Slow
        """
    zoo.install(tmp_path, "slow", hooks=hooks)
    (row,) = find(load_timeout_s=0.2).plugins
    assert row.reason == "its import did not end in 0.2 s"


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        Overdue(),
        BaseExceptionGroup("g", [ValueError(), ExceptionGroup("h", [OSError()]), Overdue()]),
    ],
)
def test_what_is_ours_is_raised_on(error):
    with pytest.raises((KeyboardInterrupt, Overdue)):
        raise_if_ours(error)


def test_in_another_thread_no_ctrl_c_arrives():
    found = []

    def work():
        raise_if_ours(KeyboardInterrupt())
        found.append("it is the stranger's")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["it is the stranger's"]


def test_what_is_the_strangers_is_not():
    for error in (asyncio.CancelledError(), GeneratorExit(), SystemExit(), MemoryError()):
        raise_if_ours(error)


class Plural(str):
    """A text whose own methods raise."""

    def split(self, *_):
        raise SystemExit

    __getitem__ = __iter__ = __len__ = __format__ = split


class Texts(Exception):
    """An error whose text is a `Plural`."""

    def __str__(self):
        return Plural("a  b")


def test_a_text_is_a_plain_one_whatever_its_class():
    assert type(text_of(Texts())) is str
    assert (text_of(Texts()), one_line(Texts())) == ("a b", "Texts: a b")
    assert (repr_of("x"), text_of(None), text_of("a\u202eb")) == ("'x'", "None", "a\\u202eb")


def test_a_deep_group_is_told_without_recursion():
    error = ValueError("deep")
    for _ in range(5000):
        error = ExceptionGroup("outer", [error])
    assert one_line(error).startswith("ExceptionGroup: outer")


def test_a_secret_is_masked_before_a_text_is_cut(monkeypatch):
    from deepseek_core import Secret

    monkeypatch.setenv("ZOO_TOKEN", zoo.CANARY)
    secret = Secret(env="ZOO_TOKEN")
    assert secret.reveal() == zoo.CANARY
    assert zoo.CANARY[:6] not in text_of("x" * 597 + zoo.CANARY)


def test_message_and_remedy_of_ours_are_texts():
    assert told(errors.ConfigError("a\nb", remedy="c")) == ("a b", "c")
    assert told(errors.ConfigError("a")) == ("a", None)
