"""Settings of plugins: one class, filled from environment and configuration."""

import sys
from pathlib import Path

import plugin_zoo as zoo
import pytest

from deepseek_core import Secret
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switches import Switches

SETTINGS = """
from pathlib import Path
from typing import Literal
import attrs
from deepseek_core import Secret

@attrs.frozen(kw_only=True)
class Settings:
    board: str
    clock_mhz: float = 100.0
    lanes: int = attrs.field(default=4)
    fast: bool = False
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    image: Path | None = None
    token: Secret | None = None
    code: str = attrs.field(default="", metadata={"secret": True})

    @lanes.validator
    def _power(self, field, value):
        if value not in (1, 2, 4):
            raise ValueError("lanes are 1, 2 or 4")
"""
HOOKS = """
from deepseek_core import DeviceSpec, hookimpl, hooks

settings = "{module}.settings:Settings"
seen = []

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    from {module}.settings import Settings
    seen.append(Settings(**ctx.settings))
    return []
"""


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Loads the plugin with this configuration; gives its row and the settings that it saw."""

    def load(config="[plugin.npu]\nboard = 'x'\n", hooks=HOOKS, settings=SETTINGS, **environ):
        monkeypatch.syspath_prepend(str(tmp_path))
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        zoo.install(tmp_path, "npu", hooks=hooks, files={"settings.py": settings})
        (tmp_path / "config.toml").write_text(config)
        switches = Switches.resolve(environ={}, config=tmp_path / "config.toml")
        (row,) = discover(switches, entry_points=scan([str(tmp_path)])).plugins
        module = sys.modules.get("zoo_npu.hooks")
        return row, next(iter(getattr(module, "seen", [])), None)

    yield load
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


def test_defaults_file_and_environment_in_this_order(load):
    config = "[plugin.npu]\nboard = 'x'\nlanes = 2\nclock_mhz = 50\n"
    row, seen = load(config, DEEPSEEK_NPU_LANES="1", DEEPSEEK_NPU_FAST="yes")
    assert row.status == "available", row.reason
    assert (seen.board, seen.clock_mhz, seen.lanes, seen.fast) == ("x", 50.0, 1, True)


def test_text_of_variables_is_read_by_type(load):
    row, seen = load(
        DEEPSEEK_NPU_NAMES="a, b", DEEPSEEK_NPU_IMAGE="/x/y", DEEPSEEK_NPU_MODE="b",
        DEEPSEEK_NPU_CLOCK_MHZ="1e2",
    )  # fmt: skip
    assert row.status == "available", row.reason
    assert (seen.names, seen.image, seen.mode) == (("a", "b"), Path("/x/y"), "b")


def test_secrets_are_named_and_whatever_is_marked_becomes_one(load, tmp_path):
    (tmp_path / "code").write_text(zoo.CANARY)
    config = "[plugin.npu]\nboard = 'x'\ntoken = { env = 'NPU_TOKEN' }\ncode = { file = 'code' }\n"
    _row, seen = load(config, NPU_TOKEN="from the variable")
    assert seen.token == Secret(env="NPU_TOKEN")
    assert (seen.token.reveal(), seen.code.reveal()) == ("from the variable", zoo.CANARY)
    assert zoo.CANARY not in repr(seen)


def test_the_variable_of_a_secret_is_its_source(load):
    _row, seen = load(DEEPSEEK_NPU_TOKEN=zoo.CANARY)
    assert seen.token == Secret(env="DEEPSEEK_NPU_TOKEN")


@pytest.mark.parametrize(
    ("config", "reason", "remedy"),
    [
        ("", "lacks 'board'", "put board = ... there, or set DEEPSEEK_NPU_BOARD"),
        ("[plugin.npu]\nboard = 'x'\nlane = 2\n", "no setting 'lane'", "did you mean lanes?"),
        (
            "[plugin.npu]\nboard = 3\n",
            "board must be a text in quotes, got 3",
            "correct it, or leave it out",
        ),
        (
            "[plugin.npu]\nboard = 'x'\nlanes = 1.5\n",
            "lanes must be a whole number, got 1.5",
            "correct it, or leave it out",
        ),
        (
            "[plugin.npu]\nboard = 'x'\nlanes = true\n",
            "lanes must be a whole number, got True",
            "correct it, or leave it out",
        ),
        (
            "[plugin.npu]\nboard = 'x'\nmode = 'c'\n",
            "mode must be one of a, b, got 'c'",
            "correct it, or leave it out",
        ),
        ("[plugin.npu]\nboard = 'x'\nlanes = 3\n", "lanes are 1, 2 or 4", "correct it"),
        (
            f"[plugin.npu]\nboard = 'x'\ntoken = '{zoo.CANARY}'\n",
            "token is a secret, which is not written down there",
            'write { env = "VARIABLE" } or { file = "path" }',
        ),
    ],
)
def test_what_does_not_fit_makes_the_plugin_unavailable(config, reason, remedy, load, tmp_path):
    row, _seen = load(config)
    assert row.status == "unavailable"
    assert reason in row.reason and str(tmp_path / "config.toml") in row.reason
    assert row.remedy == remedy
    assert zoo.CANARY not in row.why


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("class Settings: pass\n", "names no attrs class"),
        ("Settings = 3\n", "names no attrs class"),
        ("import nothing_x\n", "ModuleNotFoundError"),
    ],
)
def test_a_class_that_is_none_is_the_authors_fault(settings, reason, load):
    row, _seen = load(settings=settings)
    assert row.status == "broken"
    assert reason in row.reason


def test_a_field_may_not_be_read_from_a_switch(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = (
        "import attrs\n\n@attrs.frozen(kw_only=True)\nclass Settings:\n    timeout: int = 1\n"
    )
    zoo.install(tmp_path, "probe", hooks=HOOKS, files={"settings.py": settings})
    (row,) = discover(Switches(), entry_points=scan([str(tmp_path)])).plugins
    assert (row.status, row.remedy) == ("broken", "give the field another name")
    assert "DEEPSEEK_PROBE_TIMEOUT" in row.reason


def test_a_settings_attribute_that_is_no_text_is_the_plugins_own(load):
    row, _seen = load(hooks="settings = 3\n" + zoo.HOOKS)
    assert row.status == "available"


def test_a_device_is_opened_with_its_plugins_settings(tmp_path):
    """What the hooks were told, the factory is told too."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent))
    import plain_devices

    from deepseek_core import DeviceSpec, OpenOptions
    from deepseek_core.discovery.probe_result import ProbeResult
    from deepseek_core.discovery.status import Status
    from deepseek_core.runtime.pool import DevicePool

    spec = DeviceSpec(
        name="plain",
        kind="cpu",
        factory="plain_devices:PlainDevice",
        probe="plain_devices:info",
    )
    probe = ProbeResult(
        spec=spec,
        plugin="plain",
        dist="plain",
        rows=(plain_devices.info("a"),),
        status=Status.AVAILABLE,
    )
    options = OpenOptions(threads=1, cache_dir=tmp_path)
    pool = DevicePool([probe], options, {"plain": {"clock_mhz": 300}, "other": {"x": 1}})
    assert pool.open("a").options.settings == {"clock_mhz": 300}
    pool.close()
