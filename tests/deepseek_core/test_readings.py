"""What devices read of themselves: checked, in time, and one that fails takes none with it."""

import json
import threading

import lying_devices
import plugin_zoo as zoo
import pytest
from plain_sessions import plain_session

from deepseek_core.runtime.readings import readings

HONEST = {"temperature_c": 41.5, "fan_hz": None}


def crash():
    raise RuntimeError("driver bug")


def leave():
    raise SystemExit(3)


@pytest.fixture(autouse=True)
def honest_again():
    yield
    lying_devices.HOW.clear()


@pytest.fixture
def pool(tmp_path):
    factory = "lying_devices:LyingDevice"
    limits = {"ask_s": 0.2}
    with plain_session(tmp_path, "liar", "honest", factory=factory, limits=limits) as session:
        yield session.planner.pool


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (crash, "liar can't tell its telemetry: RuntimeError: driver bug"),
        (leave, "liar can't tell its telemetry: SystemExit: 3"),
        (lambda: None, "liar can't tell its telemetry: TypeError"),
        (lambda: {"how warm": 3.0}, "how warm = 3.0 is no reading"),
        (lambda: {"warmth_c": "41"}, "warmth_c = 41 is no reading"),
        (lambda: {"warmth_c": float("nan")}, "warmth_c = nan is no reading"),
        (lambda: {"is_warm": True}, "is_warm = True is no reading"),
        (lambda: {3: 3.0}, "3 = 3.0 is no reading"),
        (lambda: {f"r{i}": 1.0 for i in range(1001)}, "1,001 readings; 1,000 are the most"),
    ],
)
def test_a_device_that_lies_is_told_and_the_others_answer(lie, reason, pool):
    lying_devices.HOW["telemetry"] = lie
    liar, honest = readings(pool, ["liar", "honest"])
    assert (liar.values, honest.values, honest.reason) == ({}, HONEST, None)
    assert reason in liar.reason


def test_a_device_that_does_not_answer_is_left_behind(pool):
    end = threading.Event()
    lying_devices.HOW["telemetry"] = lambda: end.wait(60)
    liar, honest = readings(pool, ["liar", "honest"])
    end.set()
    assert "liar did not come back from its telemetry in 200 ms" in liar.reason
    assert honest.values == HONEST


def test_a_device_that_can_not_be_opened_is_told(pool):
    lying_devices.HOW["info"] = lambda: None
    liar, honest = readings(pool, ["liar", "honest"])
    assert "opened another device than liar" in liar.reason
    assert honest.values == HONEST


DEVICE = """
    from deepseek_core import Device, DeviceInfo, DeviceSpec, hookimpl, hooks

    INFO = DeviceInfo(id="warm:0", kind="npu", name="Warm", evidence="model", fingerprint="1")

    class Warm(Device):
        info = INFO
        supports = estimate = load = to_host = close = lambda self, *_: None

        def telemetry(self):
            return {"temperature_c": 41.25, "fan_hz": None}

    def probe():
        return [INFO]

    def opened(device_id, options):
        return Warm()

    @hookimpl(hooks.ds_register_devices)
    def devices(ctx):
        places = {"factory": "zoo_warm.hooks:opened", "probe": "zoo_warm.hooks:probe"}
        return [DeviceSpec(name="warm", kind="npu", **places)]
"""


def test_the_command_shows_readings(tmp_path):
    zoo.install(tmp_path, "warm", hooks=DEVICE)
    env = {"DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"), "DEEPSEEK_PLUGINS": "zoo-warm:warm"}
    process = zoo.ds_sdk("devices", "--telemetry", path=[tmp_path], env=env)
    assert process.returncode == 0, process.stderr
    assert [line.split(maxsplit=2) for line in process.stdout.splitlines()] == [
        ["ID", "READING", "VALUE"],
        ["warm:0", "temperature_c", "41.25"],
        ["warm:0", "fan_hz", "not observable"],
    ]
    process = zoo.ds_sdk("devices", "--telemetry", "--json", path=[tmp_path], env=env)
    (row,) = json.loads(process.stdout)["devices"]
    assert row["telemetry"] == {"temperature_c": 41.25, "fan_hz": None}
    process = zoo.ds_sdk("devices", "--json", path=[tmp_path], env=env)
    assert "telemetry" not in json.loads(process.stdout)["devices"][0]
