"""A remedy that was followed works at once: no complaint outlives what it complains of."""

import json

import plugin_zoo as zoo
import pytest

PROBES = {
    "a module": """
        from deepseek_core import DeviceInfo, errors

        def probe():
            try:
                import zz_driver
            except ImportError:
                raise errors.DeviceUnavailable("out of order", device_id="zz", remedy="mend it")
            return [DeviceInfo(id="zz:0", kind="sim", name="zz", evidence="model")]
        """,
    "a file that no key covers": """
        import pathlib
        from deepseek_core import DeviceInfo, errors

        def probe():
            if not pathlib.Path({mended}).exists():
                raise errors.DeviceUnavailable("out of order", device_id="zz", remedy="mend it")
            return [DeviceInfo(id="zz:0", kind="sim", name="zz", evidence="model")]
        """,
    "one device of two": """
        import pathlib
        from deepseek_core import DeviceInfo

        def probe():
            status = "available" if pathlib.Path({mended}).exists() else "unavailable"
            yield DeviceInfo(id="zz:1", kind="sim", name="zz", evidence="model")
            yield DeviceInfo(id="zz:0", kind="sim", name="zz", evidence="model", status=status,
                             reason="out of order", remedy="mend it")
        """,
    "what raised": """
        import pathlib
        from deepseek_core import DeviceInfo

        def probe():
            if not pathlib.Path({mended}).exists():
                raise OSError("out of order")
            return [DeviceInfo(id="zz:0", kind="sim", name="zz", evidence="model")]
        """,
    "what crashed": """
        import os, pathlib, sys
        from deepseek_core import DeviceInfo

        def probe():
            if not pathlib.Path({mended}).exists():
                print("out of order", flush=True)
                os.abort()
            return [DeviceInfo(id="zz:0", kind="sim", name="zz", evidence="model")]
        """,
}


@pytest.fixture
def sdk(tmp_path):
    """Runs `ds-sdk` amid one device; `site` is on its path, `mended` does not exist yet."""
    (tmp_path / "site").mkdir()
    env = {"DEEPSEEK_PLUGINS": "zz", "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache")}

    def run(*words, **more):
        return zoo.ds_sdk(*words, path=[tmp_path / "plugin", tmp_path / "site"], env=env | more)

    def install(probe):
        zoo.install(tmp_path / "plugin", "zz", probe=probe, mended=repr(str(run.mended)))

    run.install, run.site, run.mended = install, tmp_path / "site", tmp_path / "mended"
    return run


def device(sdk):
    """Status and reason of the device, as `devices` tells them."""
    (row,) = [
        row
        for row in json.loads(sdk("devices", "--json").stdout)["devices"]
        if row["id"] in (None, "zz:0")
    ]
    return row["status"], row["reason"]


@pytest.mark.parametrize("what", PROBES)
def test_what_was_mended_is_seen_at_the_next_call(what, sdk):
    sdk.install(PROBES[what])
    status, reason = device(sdk)
    assert status in ("unavailable", "broken") and "out of order" in reason
    sdk.mended.touch()
    (sdk.site / "zz_driver.py").touch()
    assert device(sdk)[0] == "available"


def test_a_module_that_a_record_requires_is_seen_at_the_next_call(sdk):
    hooks = zoo.HOOKS.replace('kind="sim"', 'kind="sim", requires=["zz_driver"]')
    zoo.install(sdk.site.parent / "plugin", "zz", hooks=hooks)
    assert device(sdk) == ("unavailable", "needs zz_driver, not installed")
    (sdk.site / "zz_driver.py").touch()
    assert json.loads(sdk("devices", "--json").stdout)["devices"][0]["status"] == "available"


def test_the_list_says_when_it_was_asked_and_forgets_once_something_is_installed(sdk):
    sdk.install(PROBES["a module"])
    device(sdk)
    listed = sdk("list-plugins", "--status", "unavailable")
    assert "out of order (asked " in listed.stdout and " s ago) -> mend it" in listed.stdout
    (sdk.site / "zz_driver.py").touch()
    assert "out of order" not in sdk("list-plugins").stdout


def test_what_hangs_is_believed_for_a_moment_until_something_is_installed(sdk):
    sdk.install("def probe():\n    import time\n    time.sleep(600)\n")
    short = {"DEEPSEEK_PROBE_TIMEOUT": "1"}
    ask = lambda: json.loads(sdk("devices", "--json", **short).stdout)["devices"][0]  # noqa: E731
    assert [ask()["cached"], ask()["cached"]] == [False, True]
    assert " (asked " in ask()["reason"]
    (sdk.site / "zz_driver.py").touch()
    assert not ask()["cached"]
