"""`ds-sdk store completion`: what completes commands, options and keys in a shell."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from deepseek_core import DeepSeekError, console
from deepseek_store.cli.common import Command

_MOST: Final = 500  # candidates that a person would still look at

_EXAMPLES: Final = """examples:
  eval "$(ds-sdk store completion bash)"                          in ~/.bashrc
  eval "$(ds-sdk store completion zsh)"                           in ~/.zshrc, after compinit
  ds-sdk store completion fish > ~/.config/fish/completions/ds-sdk.fish

Then ds-sdk store get data tr<TAB> completes keys of the store in the folder data."""

_BASH: Final = r"""
_ds_sdk() {
    COMPREPLY=()
    local line
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(ds-sdk store complete bash -- "${COMP_LINE:0:$COMP_POINT}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == */ ]]; then compopt -o nospace; fi
}
complete -o default -F _ds_sdk ds-sdk
"""
_ZSH: Final = r"""
_ds_sdk() {
    local -a found folders
    found=("${(@f)$(ds-sdk store complete zsh -- "${(@)words[1,CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ! ${#found} )); then _files; return; fi
    folders=("${(@M)found:#*/}")
    compadd -S '' -a folders
    found=("${(@)found:#*/}")
    compadd -a found
}
compdef _ds_sdk ds-sdk
"""
_FISH: Final = r"""
function __ds_sdk_candidates
    ds-sdk store complete fish -- (commandline -opc) (commandline -ct) 2>/dev/null
end
complete -c ds-sdk -a '(__ds_sdk_candidates)'
"""
_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_BREAKS: Final = ":="  # bash completes only what follows them
_KEYS_FIRST: Final = ("put",)  # then come files


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=sorted(_SCRIPTS))


def _run(args: argparse.Namespace) -> int:
    console.print_lines(_SCRIPTS[args.shell].strip())
    return 0


def _add_complete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=sorted(_SCRIPTS))
    parser.add_argument("words", nargs="*")


def _complete(args: argparse.Namespace) -> int:
    """Print what may come next; nothing where files may, or where nobody knows."""
    bash = args.shell == "bash"
    words = _words_of(args.words[0] if args.words else "") if bash else list(args.words)
    for found in islice(candidates(words), _MOST):
        if found.isprintable():
            console.print_lines(_for_bash(found, words[-1]) if bash else found)
            console.flush()
    return 0


def _words_of(line: str) -> list[str]:
    """The words up to the cursor; the last one may have no end yet."""
    for end in ("", '"', "'"):
        try:
            words = shlex.split(line + end)
        except ValueError:
            continue
        return [*words, ""] if line[-1:].isspace() and not end else words
    return line.split(" ")


def _for_bash(found: str, word: str) -> str:
    at = max(word.rfind(sign) for sign in _BREAKS) + 1
    return _escaped(found[at:])


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in " \t\"'\\$`&|;<>()*?[]{}!#~" else sign for sign in text)


def candidates(words: Sequence[str]) -> Iterator[str]:
    """What may stand in the place of the last word."""
    if len(words) <= 2:
        yield from _starting(["store"], words[-1])
    elif words[1] == "store":
        yield from _of_store(list(words[2:]))


def _of_store(words: list[str]) -> Iterator[str]:
    from deepseek_store.cli.main import COMMANDS, find, parser_of

    *before, word = words
    if not before:
        yield from _starting(COMMANDS, word)
    elif before[0] in COMMANDS:
        parser = parser_of(before[0], find(before[0]))
        if word.startswith("-"):
            yield from _starting(sorted(parser._option_string_actions), word)
        else:
            yield from _values(parser, before, word)


def _values(parser: argparse.ArgumentParser, before: Sequence[str], word: str) -> Iterator[str]:
    option = parser._option_string_actions.get(before[-1])
    if option is not None and option.nargs != 0:
        yield from _starting([str(each) for each in option.choices or ()], word)
        return
    given = [each for each in before[1:] if not each.startswith("-")]
    name = before[0]
    takes_keys = any(action.dest in ("names", "key") for action in parser._actions)
    if given and takes_keys and not (name in _KEYS_FIRST and len(given) > 1):
        yield from _keys(given[0], word)


def _keys(home: str, word: str) -> Iterator[str]:
    """Objects and folders whose names begin so, one folder at a time."""
    from pathlib import Path

    from deepseek_store.cli.key_view import KeyView, is_folder_mark
    from deepseek_store.store import Store

    try:
        with Store(Path(home).expanduser(), shared=True) as store:
            folder = word[: word.rfind("/") + 1]
            for name in KeyView(store).children(folder):
                if name.startswith(word) and not is_folder_mark(name):
                    yield name
    except DeepSeekError:
        return  # a shell that completes is not a place for errors


def _starting(names: Iterable[str], word: str) -> Iterator[str]:
    return (name for name in names if name.startswith(word))


COMMANDS: Final = {
    "completion": Command(add_arguments=_add_arguments, run=_run, examples=_EXAMPLES),
    "complete": Command(
        add_arguments=_add_complete_arguments, run=_complete, examples="examples: see completion"
    ),
}
