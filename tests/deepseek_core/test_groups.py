"""Groups of commands that plugins add, and the amounts that their options take."""

import argparse
import sys

import pytest

from deepseek_core import console, errors

MODULE = """
EXAMPLES = "examples:\\n  ds-sdk acme go there"

def add_arguments(parser):
    parser.add_argument("where")
    parser.add_argument("more", nargs="*")
    parser.add_argument("--limit", type=float)

def run(args):
    print(args.where, *args.more, args.limit)
    return 7
"""


@pytest.fixture
def group(tmp_path, monkeypatch):
    package = tmp_path / "acme_commands"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "go_command.py").write_text(MODULE)
    (package / "broken_command.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    yield console.CommandGroup(
        name="acme",
        package="acme_commands",
        commands={"go": ("go_command", "go there"), "break": ("broken_command", "break it")},
        summary="Acme's.",
        examples="",
    )
    for name in [name for name in sys.modules if name.startswith("acme_commands")]:
        del sys.modules[name]


def test_a_command_runs_with_what_follows_and_nothing_else_is_imported(group, capsys):
    assert group.run(["go", "a", "--limit", "3", "b"]) == 7
    assert capsys.readouterr().out == "a b 3.0\n"
    assert "acme_commands.broken_command" not in sys.modules


def test_help_lists_the_commands_and_imports_none(group, capsys):
    assert group.run([]) == 0
    assert "  break  break it\n" in capsys.readouterr().out
    assert not [name for name in sys.modules if name.startswith("acme_commands.")]


def test_help_of_a_command_has_its_line_and_its_examples(group, capsys):
    with pytest.raises(SystemExit):
        group.run(["go", "--help"])
    said = capsys.readouterr().out
    assert "usage: ds-sdk acme go" in said
    assert "go there\n" in said
    assert "\nexamples:\n  ds-sdk acme go there" in said


def test_a_word_that_is_nearly_a_command_is_told_so(group):
    with pytest.raises(errors.ConfigError) as told:
        group.run(["brake"])
    assert told.value.remedy == "did you mean 'break'?"


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("0", 0), ("4096", 4096), ("64K", 64 << 10), ("1.5 GiB", 3 << 29), ("2tb", 2 << 40)],
)
def test_sizes_are_of_binary_units(text, nbytes):
    assert console.nbytes_of(text) == nbytes


@pytest.mark.parametrize("text", ["", "much", "-1", "1e3", "1X", "1" * 16, "1.", "nan"])
def test_what_is_not_a_size_is_told_with_an_example(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be a size, such as 4096"):
        console.nbytes_of(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "604801", "soon", ""])
def test_seconds_are_more_than_none_and_a_week_at_most(text):
    with pytest.raises(argparse.ArgumentTypeError, match="more than 0 and 604800 at most"):
        console.seconds_of(text)
    assert (console.seconds_of("604800"), console.seconds_of("1e-3")) == (604800.0, 0.001)
