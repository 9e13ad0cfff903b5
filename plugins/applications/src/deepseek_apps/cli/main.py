"""`ds-sdk app ...`: the list of applications, and the steps of one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Final

from deepseek_core import applications, console, errors

# name -> (module of this package, one line for --help, which imports none of them)
STEPS: Final = {
    "prepare": ("prepare_command", "read and check your data, split them, warn of leaks"),
    "train": ("train_command", "train with a seed or several; goes on where it was stopped"),
    "evaluate": ("evaluate_command", "ours beside the baselines on the test part, with intervals"),
    "export": ("export_command", "files that ds-sdk run and other tools load"),
    "run": ("run_command", "answer inputs with the exported files, on the devices present"),
    "report": ("report_command", "one JSON file and one page, of one work folder or several"),
}
_LIST: Final = ("list_command", "applications of all plugins, and what data they take")
_EXAMPLES: Final = """examples:
  ds-sdk app list
  ds-sdk app ctr --help                              its steps and its options
  ds-sdk app ctr prepare work --data clicks.csv --set target=clicked
  ds-sdk app ctr train work --seeds 0-4
  ds-sdk app ctr evaluate work
  ds-sdk app ctr export work && ds-sdk app ctr run work new.csv
  ds-sdk app ctr report work

exit codes: 0 done, 1 a step failed, 2 wrong arguments or input, 130 Ctrl-C (the same command
goes on from there)"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk app` with these words and return the exit code."""
    words = list(argv)
    if words[:1] == ["list"]:
        return _run("list", _LIST[0], words[1:], _LIST[1])
    if not words or words[0].startswith("-"):
        return _of_all().run(words)
    name, rest = words[0], words[1:]
    _check_name(name)
    chosen = _of_one(name).chosen(rest)
    if chosen is None:
        return 0
    step, rest = chosen
    return _run(f"{name} {step}", STEPS[step][0], rest, STEPS[step][1], application=name)


def _run(
    title: str, module: str, rest: Sequence[str], summary: str, *, application: str = ""
) -> int:
    command = import_module(f"deepseek_apps.cli.{module}")
    shown = command.EXAMPLES.replace("NAME", application or "ctr")
    parser = console.command_parser(f"app {title}", summary=summary, examples=shown)
    command.add_arguments(parser)
    parser.set_defaults(application=application)
    code: int = command.run(parser.parse_intermixed_args(list(rest)))
    return code


def _of_all() -> console.CommandGroup:
    """The help of `ds-sdk app`: its list, and the steps that each application has."""
    steps = {f"NAME {name}": about for name, about in STEPS.items()}
    return console.CommandGroup(
        name="app",
        package="deepseek_apps.cli",
        commands={"list": _LIST, **steps},
        summary="Applications, from your data to files that answer, each beside its baselines.",
        examples=_EXAMPLES,
    )


def _of_one(name: str) -> console.CommandGroup:
    offer = applications.offers()[name]
    return console.CommandGroup(
        name=f"app {name}",
        package="deepseek_apps.cli",
        commands=STEPS,
        summary=f"{_sentence(offer.spec.summary or name)} Data: {offer.spec.data}.",
        examples=_options(offer),
    )


def _options(offer: applications.Offer) -> str:
    if offer.reason is not None:
        return f"it can't be used here: {offer.reason}; {offer.remedy}"
    options = offer.options()
    if not options:
        return "it has no options"
    names = [f"{option.name}{'*' * option.at_run}" for option in options]
    width = max(map(len, names)) + 2
    pairs = zip(names, options, strict=True)
    lines = "\n".join(f"  {name:{width}}{_told(option)}" for name, option in pairs)
    return f"options (prepare --set NAME=VALUE; *: also run --set NAME=VALUE):\n{lines}"


def _told(option: applications.OptionField) -> str:
    default = "needed" if option.default is None else f"default: {option.default or 'empty'}"
    return f"{option.help or option.kind} ({default})"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _check_name(name: str) -> None:
    """Refuse what no plugin offers, and say what was meant.

    Raises:
        ConfigError: there is no such application.
    """
    known = applications.offers()
    if name in known:
        return
    if name in STEPS:
        raise errors.ConfigError(
            f"{name} is a step of an application, which stands before it",
            remedy=f"ds-sdk app {next(iter(known), 'NAME')} {name} ...",
        )
    close = get_close_matches(name, [*known, "list"], n=1)
    raise errors.ConfigError(
        f"no plugin offers an application {name!r}",
        remedy=f"did you mean {close[0]!r}?" if close else "ds-sdk app list",
    )
