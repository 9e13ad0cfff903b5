"""A canary in a secret: no output of any command, cache or crash has it."""

import json

import plugin_zoo as zoo
import pytest

LEAKY_PROBE = """
import os, sys
from deepseek_core import DeviceInfo

def probe():
    sys.stderr.write("token is " + os.environ["THE_TOKEN"])
    sys.stderr.flush()
    {deed}
    return [DeviceInfo(id="leak:0", kind="sim", name=os.environ["THE_TOKEN"], evidence="model")]

def shout(argv):
    from deepseek_core import Session, errors
    Session().close()
    raise {error}(f"refused {os.environ['THE_TOKEN']}")

def check():
    from deepseek_core import Finding
    return [Finding(status="fail", text="bad " + os.environ["THE_TOKEN"], remedy="x")]
"""
HOOKS = """
from deepseek_core import CheckSpec, CommandSpec, DeviceSpec, hookimpl, hooks

settings = "{module}.settings:Settings"

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    token = ctx.settings["token"]
    print("I have", token, repr(token), f"{token}")
    {hook_deed}
    return [DeviceSpec(name="{device}", kind="sim", factory="a.b:C", probe="{module}.device:probe")]

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [CommandSpec(name="shout", main="{module}.device:shout")]

@hookimpl(hooks.ds_register_checks)
def checks(ctx):
    return [CheckSpec(name="bad", run="{module}.device:check")]
"""


@pytest.fixture
def run(tmp_path):
    """Runs `ds-sdk` with a plugin that lets its secret out wherever it can."""

    def run(*words, deed="pass", error="RuntimeError", hook_deed="pass"):
        zoo.install(
            tmp_path, "leaky", hooks=HOOKS, probe=LEAKY_PROBE, deed=deed, error=error,
            hook_deed=hook_deed, files={"settings.py": zoo.SECRET_SETTINGS},
        )  # fmt: skip
        (tmp_path / "config.toml").write_text("[plugin.leaky]\ntoken = { env = 'THE_TOKEN' }\n")
        env = {
            "DEEPSEEK_CONFIG": str(tmp_path / "config.toml"),
            "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
            "DEEPSEEK_PLUGINS": "leaky",
            "THE_TOKEN": zoo.CANARY,
        }
        process = zoo.ds_sdk(*words, path=[tmp_path], env=env)
        written = [f.read_bytes() for f in (tmp_path / "cache").rglob("*") if f.is_file()]
        assert zoo.CANARY.encode() not in b"".join(written)
        assert zoo.CANARY not in process.stdout
        assert zoo.CANARY not in process.stderr
        return process

    return run


@pytest.mark.parametrize(
    "words",
    [
        ["list-plugins", "--json"],
        ["list-plugins", "--verbose"],
        ["list-plugins", "--probe", "--json"],
        ["--trace-hooks", "list-plugins"],
        ["plugin-info", "leaky"],
        ["plugin-info", "leaky", "--json"],
        ["doctor", "--json"],
        ["devices", "--json"],
        ["config", "show"],
        ["config", "show", "--json"],
        ["plugins", "export"],
        ["plugins", "export", "--json"],
    ],
)
def test_no_command_shows_it(words, run):
    assert run(*words).returncode == 0


def test_a_finding_is_masked_not_dropped(run):
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    assert "bad ****" in {check["message"] for check in checks}


@pytest.mark.parametrize(
    "deed",
    [
        "raise RuntimeError('refused ' + os.environ['THE_TOKEN'])",
        "raise OSError('no ' + os.environ['THE_TOKEN'])",
        "os.abort()",
        "os._exit(3)",
        "raise SystemExit(os.environ['THE_TOKEN'])",
    ],
)
def test_no_error_of_a_probe_shows_it(deed, run):
    (device,) = json.loads(run("devices", "--json", deed=deed).stdout)["devices"]
    assert device["status"] in ("broken", "unavailable")
    assert "****" in device["reason"] or deed == "os._exit(3)"


@pytest.mark.parametrize("error", ["RuntimeError", "errors.InputError", "SystemExit"])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_no_crash_shows_it_not_even_its_traceback(debug, error, run):
    process = run(*debug, "shout", error=error)
    assert process.returncode in (1, 2)
    assert "refused ****" in process.stderr
    if debug and error != "SystemExit":
        assert "Traceback" in process.stderr


@pytest.mark.parametrize(
    "deed",
    ["raise ValueError(token.reveal())", "import warnings; warnings.warn(token.reveal())"],
)
def test_no_failing_hook_shows_it(deed, run):
    process = run("list-plugins", "--json", hook_deed=deed)
    row = next(r for r in json.loads(process.stdout)["plugins"] if r["name"] == "leaky")
    assert row["status"] == "broken" and "****" in row["reason"]
