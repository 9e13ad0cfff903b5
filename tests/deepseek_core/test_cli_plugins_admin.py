"""`ds-sdk plugins`: on and off in the user's file; out of one environment and into another."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile

import plugin_zoo as zoo
import pytest


@pytest.fixture
def plugins(tmp_path):
    """Runs `ds-sdk plugins` amid two plugins that may not be imported."""
    for name in ("npu", "gpu"):
        zoo.install(tmp_path / "site", name, hooks="import os\nos.abort()\n")
    two = f"[{zoo.V1}]\nnpu = zoo_npu.hooks\nnpu_two = zoo_npu.hooks\n"
    zoo.describe(tmp_path / "site", "zoo-npu", "1.0.0", two)
    file = tmp_path / "config.toml"

    def run(*words, **environ):
        env = {"DEEPSEEK_CONFIG": str(file)} | environ
        return zoo.ds_sdk(*words, path=[tmp_path / "site"], env=env)

    run.file = file
    return run


def statuses(plugins, **environ):
    process = plugins("list-plugins", "--no-load", "--json", **environ)
    rows = json.loads(process.stdout)["plugins"]
    return {row["name"]: row["status"] for row in rows if row["dist"].startswith("zoo-")}


def test_off_and_on_again(plugins):
    plugins.file.write_text("# mine\n[plugins]\nstrict = false  # for now\n")
    process = plugins("plugins", "disable", "npu", "zoo-gpu")
    assert process.returncode == 0, process.stderr
    assert statuses(plugins) == {"npu": "disabled", "npu_two": None, "gpu": "disabled"}
    text = plugins.file.read_text()
    assert text == ('# mine\n[plugins]\nstrict = false  # for now\ndisable = ["npu", "zoo-gpu"]\n')
    process = plugins("plugins", "enable", "npu", "gpu")
    assert process.returncode == 0, process.stderr
    assert set(statuses(plugins).values()) == {None}
    assert "disable = []" in plugins.file.read_text()


def test_enabling_one_of_a_distribution_tells_what_comes_along(plugins):
    plugins("plugins", "disable", "zoo-npu")
    process = plugins("plugins", "enable", "npu")
    assert "with it, by the name of its distribution: npu_two" in process.stdout


def test_enabling_adds_to_an_allow_list(plugins):
    plugins.file.write_text("[plugins]\nallow = ['gpu']\n")
    assert plugins("plugins", "enable", "npu").returncode == 0
    assert statuses(plugins) == {"npu": None, "npu_two": "blocked", "gpu": None}


def test_the_environment_that_beats_the_file_is_told(plugins):
    process = plugins("plugins", "enable", "npu", DEEPSEEK_DISABLE_PLUGINS="npu")
    assert "npu stays disabled: switched off by DEEPSEEK_DISABLE_PLUGINS" in process.stdout
    process = plugins("plugins", "disable", "npu", DEEPSEEK_DISABLE_PLUGINS="gpu")
    assert "DEEPSEEK_DISABLE_PLUGINS beats the file; npu loads" in process.stdout


@pytest.mark.parametrize("deed", ["enable", "disable"])
def test_an_unknown_plugin_is_an_error_with_the_close_name(deed, plugins):
    process = plugins("plugins", deed, "nqu")
    assert process.returncode == 2
    assert "no plugin 'nqu' is installed\nfix: did you mean" in process.stderr
    assert not plugins.file.exists()


def test_what_is_no_longer_installed_can_be_taken_out(plugins):
    plugins.file.write_text("[plugins]\ndisable = ['uninstalled', 'gpu']\n")
    assert plugins("plugins", "enable", "uninstalled").returncode == 0
    assert plugins.file.read_text() == "[plugins]\ndisable = ['gpu']\n"


def test_the_export_has_a_line_for_each_distribution(plugins, tmp_path):
    origins = {
        "npu": {"url": (tmp_path / "my npu").as_uri(), "dir_info": {"editable": True}},
        "gpu": {"url": f"https://user:{zoo.CANARY}@example.org/gpu.whl", "archive_info": {}},
        "fresh": {
            "url": "ssh://git@example.org/fresh",
            "vcs_info": {"vcs": "git", "requested_revision": "main", "commit_id": "abc123"},
            "subdirectory": "py",
        },
    }
    zoo.install(tmp_path / "site", "fresh", hooks="import os\nos.abort()\n")
    for name, origin in origins.items():
        file = tmp_path / f"site/zoo_{name}-1.0.0.dist-info/direct_url.json"
        file.write_text(json.dumps(origin))
    process = plugins("plugins", "export")
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert f"-e {tmp_path}/my npu  # zoo-npu 1.0.0" in lines
    assert "zoo-gpu @ https://example.org/gpu.whl" in lines
    assert "zoo-fresh @ git+ssh://git@example.org/fresh@abc123#subdirectory=py" in lines
    assert zoo.CANARY not in process.stdout
    answer = json.loads(plugins("plugins", "export", "--json").stdout)
    entry = next(d for d in answer["distributions"] if d["name"] == "zoo-npu")
    assert entry["plugins"] == ["npu", "npu_two"] and entry["editable"]
    (tmp_path / "export.txt").write_text(process.stdout)
    again = plugins("plugins", "restore", str(tmp_path / "export.txt"))
    assert again.stdout.endswith("nothing to do\n")


def wheel(folder, name, version):
    """A wheel as a builder makes it, with one plugin in it."""
    module = f"zoo_{name}"
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": "",
        f"{module}/hooks.py": zoo.HOOKS.replace("{module}", module).replace("{device}", name),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{zoo.V1}]\n{name} = {module}.hooks\n",
    }
    record = "".join(f"{path},sha256={digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def digest(text):
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_plugin_is_brought_to_another_environment_by_pip(plugins, tmp_path):
    wheel(tmp_path, "fresh", "1.2")
    target = tmp_path / "target"
    # pip itself warns.
    offline = {"PYTHONWARNINGS": "default", "PIP_NO_INDEX": "1"}
    offline |= {"PIP_FIND_LINKS": str(tmp_path), "PIP_TARGET": str(target)}
    (tmp_path / "export.txt").write_text("# plugins\nzoo-npu==1.0.0\nzoo-fresh==1.2  # mine\n")
    words = ["plugins", "restore", str(tmp_path / "export.txt")]
    process = plugins(*words, "--dry-run", **offline)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[:2] == ["have    zoo-npu==1.0.0", "install zoo-fresh==1.2"]
    assert "would run: " in process.stdout and "zoo-fresh==1.2" in process.stdout
    assert not target.exists()
    process = plugins(*words, **offline)
    assert process.returncode == 0, process.stderr
    process = zoo.ds_sdk("list-plugins", "--json", path=[target])
    rows = {r["name"]: r["version"] for r in json.loads(process.stdout)["plugins"]}
    assert rows["fresh"] == "1.2"


def test_what_pip_cant_find_is_an_error_with_the_command(plugins, tmp_path):
    export = {"distributions": [{"line": "zoo-nowhere==9"}]}
    (tmp_path / "export.json").write_text(json.dumps(export))
    offline = {"PYTHONWARNINGS": "default", "PIP_NO_INDEX": "1"}
    process = plugins("plugins", "restore", str(tmp_path / "export.json"), **offline)
    assert process.returncode == 1
    assert "error: pip ended with code 1\nfix: " in process.stderr
    assert "-m pip install" in process.stderr


@pytest.mark.parametrize(
    "line",
    ["--index-url http://x", "zoo", "-r other.txt", "zoo>=1", "../zoo", "zoo==1 --pre", "-e",
     "zoo == 1", '{"distributions": [{"line": "--pre"}]}', '{"plugins": 3}'],
)  # fmt: skip
def test_a_file_that_export_does_not_write_is_refused(line, plugins, tmp_path):
    (tmp_path / "export.txt").write_text(f"zoo-npu==1.0.0\n{line}\n" if line[0] != "{" else line)
    process = plugins("plugins", "restore", str(tmp_path / "export.txt"))
    assert process.returncode == 2
    assert process.stdout == ""


def test_a_missing_file_is_an_error(plugins, tmp_path):
    assert plugins("plugins", "restore", str(tmp_path / "none.txt")).returncode == 2


def test_no_deed_imports_a_plugin(plugins):
    """The plugins of this test abort when they are imported."""
    for words in (["disable", "npu"], ["enable", "npu"], ["export"]):
        assert plugins("plugins", *words).returncode == 0
    environment = os.environ | {"PYTHONPATH": str(zoo.SOURCES)}
    code = "import sys; from deepseek_core.cli import main; main(['plugins', 'export']); "
    code += "assert 'pluggy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
