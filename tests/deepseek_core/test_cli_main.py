"""The entry point: which command runs, and how errors look."""

import importlib
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import plugin_zoo as zoo
import pytest

from deepseek_core.cli import main
from deepseek_core.cli.main import COMMANDS
from deepseek_core.cli.table import render_table


def test_help_lists_every_command_with_examples(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert "examples:" in text and "exit codes:" in text


def test_no_command_prints_the_help(capsys):
    assert main([]) == 0
    assert "commands" in capsys.readouterr().out


def test_version_names_core_and_python(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ds-sdk ")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_agrees_with_their_modules(name):
    module, line = COMMANDS[name]
    command = importlib.import_module(f"deepseek_core.cli.{module}")

    assert line == command.SUMMARY


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: ds-sdk {name}")
    assert COMMANDS[name][1] in " ".join(text.split())


def test_a_misspelt_command_names_the_close_one(capsys, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_NO_PLUGINS", "1")
    assert main(["list-plugin"]) == 2
    error, fix = capsys.readouterr().err.splitlines()
    assert error == "error: there is no command 'list-plugin'"
    assert fix.startswith("fix: did you mean list-plugins")


@pytest.mark.parametrize(
    "words", [["list-plugins", "--staus", "x"], ["--verison"], ["list-plugins", "--status", "ill"]]
)
def test_a_wrong_argument_is_one_sentence_with_a_remedy(words, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert re.match(r"fix: (did you mean --\w+\? )?ds-sdk ", error.splitlines()[1])


def test_a_wrong_switch_is_bad_input(capsys, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_PROBE_TIMEOUT", "soon")
    assert main(["list-plugins"]) == 2
    assert "DEEPSEEK_PROBE_TIMEOUT" in capsys.readouterr().err


def test_an_unknown_plugin_in_a_switch_is_a_note(tmp_path):
    folder = zoo.install(tmp_path, "well")
    process = zoo.ds_sdk("list-plugins", path=[folder], env={"DEEPSEEK_DISABLE_PLUGINS": "wel"})
    assert process.returncode == 0
    assert process.stderr == (
        "note: DEEPSEEK_DISABLE_PLUGINS names 'wel', and no such plugin is installed"
        " -> did you mean well?\n"
    )


COMMANDS_HOOKS = """
from deepseek_core import CommandSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [
        CommandSpec(name=name, main=f"{module}.device:{name}", summary=name)
        for name in ("greet", "crash", "refuse", "leave", "doctor", "wait", "gone")
    ] + [CommandSpec(name="needy", main="a.b:c", requires=["nothing_x"])]
"""
COMMANDS_MAIN = """
def greet(argv):
    print("hello", *argv)
    return 5

def crash(argv):
    raise KeyError("gone")

def refuse(argv):
    from deepseek_core import errors
    raise errors.InputError("the file is empty", remedy="fill it")

def leave(argv):
    raise SystemExit(9)

def doctor(argv):
    print("an impostor")

def wait(argv):
    import time
    print("waiting", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def commands(tmp_path):
    """A folder with a plugin that adds commands."""
    return zoo.install(tmp_path, "cli", hooks=COMMANDS_HOOKS, probe=COMMANDS_MAIN)


def test_a_plugin_command_gets_its_words_and_its_code_counts(commands):
    process = zoo.ds_sdk("greet", "--loud", "you", path=[commands])
    assert (process.returncode, process.stdout) == (5, "hello --loud you\n")


def test_a_plugin_command_that_crashes_is_one_sentence(commands):
    process = zoo.ds_sdk("crash", path=[commands])
    assert process.returncode == 1
    assert process.stderr == (
        "error: command 'crash' of plugin 'cli' failed: KeyError: 'gone'\n"
        "fix: run it with --debug, or pip install -U zoo-cli\n"
    )
    assert "Traceback" in zoo.ds_sdk("--debug", "crash", path=[commands]).stderr
    assert "Traceback" in zoo.ds_sdk("crash", "--debug", path=[commands]).stderr


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("refuse", 2, "error: the file is empty\nfix: fill it\n"),
        ("leave", 9, ""),
        (
            "needy",
            2,
            "error: command 'needy' needs nothing_x, not installed\n"
            "fix: see the documentation of zoo-cli for what brings nothing_x\n",
        ),
    ],
)
def test_a_plugin_command_reports_like_any_other(name, code, text, commands):
    process = zoo.ds_sdk(name, path=[commands])
    assert (process.returncode, process.stderr) == (code, text)


def test_a_plugin_command_that_is_not_there_names_plugin_and_locator(commands):
    process = zoo.ds_sdk("gone", path=[commands])
    assert process.returncode == 1
    assert "plugin 'cli': can't load zoo_cli.device:gone" in process.stderr


def test_built_in_commands_cant_be_shadowed(commands):
    process = zoo.ds_sdk("doctor", "--no-load", path=[commands])
    assert "impostor" not in process.stdout
    assert process.stdout.startswith("CHECK")


def test_misspelt_plugin_commands_are_suggested(commands):
    assert "did you mean greet?" in zoo.ds_sdk("gret", path=[commands]).stderr


def test_ctrl_c_exits_130_in_one_line(commands):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(commands), str(zoo.SOURCES)])}
    with subprocess.Popen(
        [sys.executable, "-m", "deepseek_core", "wait"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as child:  # fmt: skip
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        _out, error = child.communicate(timeout=30)
    assert (child.returncode, error) == (130, "error: stopped by Ctrl-C\n")


def test_an_unexpected_crash_names_the_switches(tmp_path):
    (tmp_path / "json.py").write_text("raise OSError('disk on fire')\n")
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path])
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith("error: unexpected OSError: disk on fire\nfix: ")
    assert "DEEPSEEK_NO_PLUGINS=1" in process.stderr and "--debug" in process.stderr
    assert "Traceback" not in process.stderr


def test_closed_streams_are_no_error(tmp_path):
    command = f"{sys.executable} -m deepseek_core list-plugins"
    environment = os.environ | {"PYTHONPATH": str(zoo.SOURCES), "DEEPSEEK_NO_PLUGINS": "1"}
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        process = subprocess.run(
            ["bash", "-c", f"{command} {closed}"], env=environment, timeout=60, check=False
        )
        assert process.returncode == 0, closed


def test_a_table_wraps_its_last_column_when_a_person_watches():
    rows = [("a", "one two three four five six seven"), ("bbb", "short")]
    assert render_table(("X", "WHY"), rows, width=29) == (
        "X    WHY\na    one two three four five\n     six seven\nbbb  short"
    )
    assert render_table(("X", "WHY"), rows).splitlines()[1] == f"a    {rows[0][1]}"


def on_a_terminal(words, environment):
    """What a command prints there."""
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "deepseek_core", *words],
        stdout=follower, env=environment, timeout=60, check=True,
    )  # fmt: skip
    os.close(follower)
    with io.FileIO(leader) as stream:
        return stream.read(65536).decode()


@pytest.mark.parametrize("name", zoo.LATE)
def test_what_plugins_print_amid_and_after_the_answer_is_no_part_of_it(name, tmp_path):
    zoo.install(tmp_path, name, hooks=zoo.HOOKS_LATE[name])
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path])
    assert process.returncode == 0, process.stderr
    assert name in {row["name"] for row in json.loads(process.stdout)["plugins"]}
    assert "goodbye" in process.stderr or "still here" in process.stderr


def test_a_thread_that_does_not_end_does_not_keep_the_command(tmp_path):
    zoo.install(tmp_path, "endless_thread", hooks=zoo.SLOW_HOOKS["endless_thread"])
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path])
    assert process.returncode == 0
    json.loads(process.stdout)
    assert "note: ended without waiting any longer for threads" in process.stderr


@pytest.mark.parametrize("columns", [40, 80, 110, 200])
def test_a_table_fits_the_terminal_and_keeps_no_color(columns, tmp_path):
    zoo.install(tmp_path, "ill", hooks="import module_that_nobody_has\n")
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")} | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(zoo.SOURCES)]),
        "COLUMNS": str(columns),
        "TERM": "xterm",
        "DEEPSEEK_PLUGINS": "ill",
    }
    words = ["list-plugins", "--status", "broken"]
    colored = on_a_terminal(words, environment)
    assert "\x1b[31mbroken\x1b[0m" in colored
    plain = on_a_terminal(words, environment | {"NO_COLOR": "1", "FORCE_COLOR": "1"})
    assert "\x1b" not in plain
    took = re.compile(r"\x1b\[[0-9;]*m|[\d.]+ms")
    assert took.sub("", colored).split() == took.sub("", plain).split()
    assert len(plain.splitlines()) > 2
    assert all(len(line) <= columns for line in plain.splitlines())
    assert "module_that_nobody_has" in "".join(plain.split())
    assert "\x1b" not in on_a_terminal(words, environment | {"TERM": "dumb"})


def test_color_in_a_pipe_is_for_those_who_ask(tmp_path):
    words = [sys.executable, "-m", "deepseek_core", "no-such-command"]
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment["PYTHONPATH"] = str(zoo.SOURCES)
    for more, starts in (
        ({}, "error: "),
        ({"FORCE_COLOR": "1"}, "\x1b[31merror\x1b[0m: "),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, "error: "),
    ):
        told = subprocess.run(
            words, env=environment | more, timeout=60, check=False, capture_output=True, text=True
        )
        assert told.stderr.startswith(starts)


def test_a_row_with_no_room_for_its_last_cell_gets_it_below_or_becomes_a_block():
    rows = [("name", "kind", "why it is so and what to do"), ("other", "-", "")]
    assert render_table(("NAME", "KIND", "WHY"), rows, width=20).splitlines() == [
        "NAME   KIND",
        "name   kind",
        "    why it is so and",
        "    what to do",
        "other  -",
    ]
    rows[0] = ("a name that is long", *rows[0][1:])
    assert render_table(("NAME", "KIND", "WHY"), rows, width=20).splitlines() == [
        "a name that is long",
        "  KIND  kind",
        "  WHY   why it is so",
        "        and what to",
        "        do",
        "",
        "other",
    ]


HELLO = """
from deepseek_core import CommandSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [CommandSpec(name="hello", main="{module}.hooks:main", summary="says hello")]

def main(words):
    print("hello")
    return 0
"""


@pytest.fixture
def hello(tmp_path, request):
    """Runs `ds-sdk`; a plugin of somebody else offers `hello`, and was run once.

    The parameter is what the installer has left in the metadata.
    """
    zoo.install(tmp_path, "greeter", hooks=HELLO)
    for file, text in getattr(request, "param", {}).items():
        (tmp_path / "zoo_greeter-1.0.0.dist-info" / file).write_text(text)
    env = {
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_CONFIG": str(tmp_path / "config.toml"),
    }

    def run(*words):
        return zoo.ds_sdk(*words, path=[tmp_path], env=env)

    assert run("hello").stdout == "hello\n"
    return run


def origin(url, **more):
    return {"INSTALLER": "pip\n", "direct_url.json": json.dumps({"url": url, **more})}


@pytest.mark.parametrize(
    ("hello", "fix"),
    [
        ({}, "put zoo-greeter there again as it was; where it came from is not recorded"),
        ({"INSTALLER": "pip\n"}, "pip install zoo-greeter, from the index that it came from"),
        (origin(Path("/a b").as_uri(), dir_info={"editable": True}), "pip install -e '/a b'"),
        (origin(Path("/w/greeter.whl").as_uri(), archive_info={}), "pip install /w/greeter.whl"),
        (
            origin("https://me:secret@git.acme.example/greeter", subdirectory="py",
                   vcs_info={"vcs": "git", "requested_revision": "v1", "commit_id": "abc"}),
            "pip install 'zoo-greeter @ git+https://git.acme.example/greeter@v1#subdirectory=py'",
        ),
        (
            origin("ssh://git@git.acme.example/greeter", vcs_info={"vcs": "git"}),
            "pip install 'zoo-greeter @ git+ssh://git@git.acme.example/greeter'",
        ),
    ],
    indirect=["hello"],
)  # fmt: skip
def test_a_command_of_a_plugin_that_was_uninstalled_says_where_it_is_to_be_had(
    hello, fix, tmp_path
):
    """By its name alone, a package index may have a stranger's."""
    shutil.rmtree(next(tmp_path.glob("zoo_greeter-*.dist-info")))
    process = hello("hello")
    assert process.returncode == 2
    assert process.stderr == (
        "error: there is no command 'hello'; it was of plugin 'greeter' of zoo-greeter, which is "
        f"not installed\nfix: {fix}\n"
    )


@pytest.mark.parametrize(
    ("words", "where", "fix"),
    [
        (["--disable-plugins", "greeter"], "switched off by --disable-plugins",
         "take 'greeter' out of --disable-plugins"),
        (["--plugins", "cpu_onnx"], "not in the allow-list of --plugins",
         "add 'greeter' to --plugins"),
        (["--no-plugins"], "all plugins are switched off by --no-plugins",
         "leave out --no-plugins"),
    ],
)  # fmt: skip
def test_a_command_of_a_plugin_that_is_off_says_which_switch_it_was(words, where, fix, hello):
    status = "blocked" if "--plugins" in words else "disabled"
    process = hello(*words, "hello")
    assert process.returncode == 2
    assert process.stderr == (
        f"error: there is no command 'hello'; plugin 'greeter' of zoo-greeter is {status}: "
        f"{where}\nfix: {fix}\n"
    )


def test_one_that_the_file_switches_off_says_how_to_switch_it_on(hello, tmp_path):
    assert hello("plugins", "disable", "greeter").returncode == 0
    process = hello("hello")
    where = f"switched off by {tmp_path / 'config.toml'} [plugins] disable"
    assert where in process.stderr
    assert process.stderr.endswith("fix: ds-sdk plugins enable greeter\n")
    assert hello("plugins", "enable", "greeter").returncode == 0
    assert hello("hello").stdout == "hello\n"


def test_a_command_that_was_never_run_may_be_of_what_is_off(hello, tmp_path):
    (tmp_path / "cache" / "commands.json").unlink()
    process = hello("--disable-plugins", "greeter", "hello")
    assert process.stderr == (
        "error: there is no command 'hello'; a plugin that is not loaded may offer it: greeter "
        "(switched off by --disable-plugins)\nfix: take 'greeter' out of --disable-plugins\n"
    )


def test_a_command_that_two_plugins_offer_names_both(hello, tmp_path):
    zoo.install(tmp_path, "welcomer", hooks=HELLO)
    process = hello("hello")
    assert process.returncode == 2
    assert process.stderr == (
        "error: there is no command 'hello'; plugin 'greeter' of zoo-greeter and plugin "
        "'welcomer' of zoo-welcomer both offer it, so neither is taken\n"
        'fix: pip uninstall zoo-welcomer (or put prefer.hello = "zoo-greeter" under [plugins])\n'
    )
    (tmp_path / "config.toml").write_text('[plugins]\nprefer.hello = "zoo-greeter"\n')
    assert hello("hello").stdout == "hello\n"
