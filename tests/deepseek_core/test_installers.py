"""Remedies name the tool that installs packages here: pip, uv or pipx."""

import sys

import pytest

from deepseek_core.cli.doctor_hardware import Check
from deepseek_core.discovery import installers
from deepseek_core.discovery.installers import in_this_environment
from deepseek_core.discovery.status import PluginRow, Status


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Makes this process one of an environment that a tool made."""

    def place(name, files, *, has_pip=True, active=False):
        prefix = tmp_path / name
        prefix.mkdir()
        for file, text in files.items():
            (prefix / file).write_text(text)
        monkeypatch.setattr(sys, "prefix", str(prefix))
        monkeypatch.setattr(sys, "executable", str(prefix / "bin" / "python"))
        monkeypatch.setattr(installers, "locate", lambda module: (has_pip and object()) or None)
        monkeypatch.delenv("VIRTUAL_ENV", raising=False)
        if active:
            monkeypatch.setenv("VIRTUAL_ENV", str(prefix))
        installers._tool.cache_clear()
        return prefix

    yield place
    installers._tool.cache_clear()


VENV = {"pyvenv.cfg": "home = /usr/bin\nversion = 3.11.7\n"}
OF_UV = {"pyvenv.cfg": "home = /usr/bin\nuv = 0.8.4\nversion_info = 3.11.7\n"}
TOOL = {
    **OF_UV,
    "uv-receipt.toml": '[tool]\nrequirements = [{ name = "deepseek-core" }, { name = "acme" }]\n',
}


@pytest.mark.parametrize(("files", "has_pip"), [(VENV, True), (VENV, False), (OF_UV, True)])
def test_where_pip_is_it_stays(files, has_pip, place):
    place("venv", files, has_pip=has_pip)
    remedy = "pip install -U acme (or pip uninstall acme)"
    assert in_this_environment(remedy) == remedy


def test_uv_installs_into_its_environment(place):
    place(".venv", OF_UV, has_pip=False, active=True)
    assert in_this_environment("pip install -U acme (or pip uninstall acme)") == (
        "uv pip install -U acme (or uv pip uninstall acme)"
    )
    assert in_this_environment("pip uninstall -y torch && pip install torch") == (
        "uv pip uninstall torch && uv pip install torch"
    )
    assert in_this_environment('pip install "x[a,b]==1.*"') == 'uv pip install "x[a,b]==1.*"'
    assert in_this_environment("uv pip install acme") == "uv pip install acme"


def test_uv_is_told_which_environment_if_another_is_active(place):
    prefix = place(".venv", OF_UV, has_pip=False)
    python = prefix / "bin" / "python"
    assert in_this_environment("pip install acme") == f"uv pip install --python {python} acme"


def test_pipx_injects(place):
    place("deepseek-core", {**VENV, "pipx_metadata.json": "{}"})
    assert in_this_environment("pip install acme") == "pipx inject deepseek-core acme"
    assert in_this_environment("update /sdk, then pip install /sdk/plugins/store") == (
        "update /sdk, then pipx inject deepseek-core /sdk/plugins/store"
    )
    assert in_this_environment("pip install -U acme (or pip uninstall acme)") == (
        "pipx runpip deepseek-core install -U acme (or pipx runpip deepseek-core uninstall acme)"
    )


def test_a_tool_of_uv_is_installed_again_with_what_it_had(place):
    prefix = place("deepseek-core", TOOL, has_pip=False)
    start = "uv tool install"
    assert in_this_environment("pip install pillow or go on without") == (
        f"{start} deepseek-core --with acme --with pillow or go on without"
    )
    assert in_this_environment("pip install -U acme") == (
        f"{start} --upgrade deepseek-core --with acme"
    )
    python = prefix / "bin" / "python"
    assert in_this_environment("pip uninstall acme") == f"uv pip uninstall --python {python} acme"


def test_rows_checks_and_errors_speak_so(place, capsys):
    from deepseek_core.cli.reporting import report
    from deepseek_core.contracts.errors import ConfigError

    place("deepseek-core", {**VENV, "pipx_metadata.json": "{}"})
    wanted = "pipx inject deepseek-core acme"
    row = PluginRow(name="a", dist="a", version="1", api="v1", group="g", entry_point="a")
    assert row.ended(Status.BROKEN, "r", "pip install acme").remedy == wanted
    assert Check(name="a", status="warn", message="m", remedy="pip install acme").remedy == wanted
    report(ConfigError("it is missing", remedy="pip install acme"), False)
    assert capsys.readouterr().err == f"error: it is missing\nfix: {wanted}\n"
