"""Globs as rclone and rsync have them, and the filter that `--include` and `--exclude` make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs

from deepseek_core import errors

_SPECIAL: Final = frozenset("*?[{")


def is_glob(text: str) -> bool:
    """Whether it has a character that stands for others."""
    return not _SPECIAL.isdisjoint(text)


def literal_folder(pattern: str) -> str:
    """The folder that all matches lie in: what comes before the first part with a glob in it."""
    first = min((pattern.find(sign) for sign in _SPECIAL if sign in pattern), default=0)
    return pattern[: pattern.rfind("/", 0, first) + 1]


def regex_of(pattern: str) -> str:
    """A glob as a regular expression.

    `*` and `?` stop at a slash, `**` does not, and `**/` may also stand for nothing; `[a-z]` and
    `[!a-z]` are one character, `{a,b}` is one of several, and a backslash takes a sign literally.

    Raises:
        ConfigError: a bracket or a brace is not closed.
    """
    return "".join(_Translation(pattern))


class _Translation:
    """Goes through a pattern once; its pieces are those of the regular expression."""

    def __init__(self, pattern: str) -> None:
        self._pattern, self._at, self._depth = pattern, 0, 0

    def __iter__(self) -> Iterator[str]:
        while self._at < len(self._pattern):
            yield self._next()
        if self._depth:
            raise _unclosed(self._pattern, "{", "}")

    def _next(self) -> str:
        sign = self._take()
        if sign == "*":
            return self._stars()
        if sign == "[":
            return self._one_of()
        if sign == "\\" and self._at < len(self._pattern):
            return re.escape(self._take())
        return self._brace(sign) or ("[^/]" if sign == "?" else re.escape(sign))

    def _take(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _stars(self) -> str:
        if not self._pattern.startswith("*", self._at):
            return "[^/]*"
        while self._pattern.startswith("*", self._at):
            self._at += 1
        if self._pattern.startswith("/", self._at):
            self._at += 1
            return "(?:.*/)?"
        return ".*"

    def _one_of(self) -> str:
        end = self._pattern.find("]", self._at + 1)
        if end < 0:
            raise _unclosed(self._pattern, "[", "]")
        signs, self._at = self._pattern[self._at : end], end + 1
        without = signs[0] in "!^"
        body = re.sub(r"([\\\[\]&~|^])", r"\\\1", signs[without:])
        return f"(?!/)[{'^' if without else ''}{body}]"

    def _brace(self, sign: str) -> str:
        if sign == "{":
            self._depth += 1
            return "(?:"
        if self._depth and sign == "}":
            self._depth -= 1
            return ")"
        return "|" if self._depth and sign == "," else ""


def _unclosed(pattern: str, sign: str, end: str) -> errors.ConfigError:
    return errors.ConfigError(
        f"{pattern!r}: a {sign} is not closed", remedy=f"close it with {end}, or write \\{sign}"
    )


def matcher(pattern: str) -> re.Pattern[str]:
    """What matches whole texts.

    Raises:
        ConfigError: it is not a pattern.
    """
    try:
        return re.compile(regex_of(pattern), re.DOTALL)
    except re.error as error:
        raise errors.ConfigError(
            f"{pattern!r} is not a pattern: {error.msg}", remedy="write a range as [a-z]"
        ) from None


@attrs.frozen
class Rule:
    """One `--include` or `--exclude`: what it says of the paths that it matches."""

    include: bool
    pattern: str
    _regex: re.Pattern[str] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        anchored, path = self.pattern.startswith("/"), self.pattern.strip("/")
        if not path:
            raise errors.ConfigError(
                f"{self.pattern!r} matches nothing", remedy="--exclude 'node_modules/'"
            )
        folder = self.pattern.endswith("/")
        matched = matcher(path).pattern
        above, below = "" if anchored else "(?:.*/)?", "/.*" if folder else "(?:/.*)?"
        regex = re.compile(f"{above}(?:{matched}){below}", re.DOTALL)
        object.__setattr__(self, "_regex", regex)

    def matches(self, path: str) -> bool:
        """Whether it is about a path, or about a folder that the path lies in."""
        return self._regex.fullmatch(path) is not None


@attrs.frozen
class Filter:
    """Which paths are meant: the first rule that matches decides.

    What no rule matches is taken, unless there is an `--include`. Paths have no slash in front.
    """

    rules: tuple[Rule, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether a file of that path is meant."""
        for rule in self.rules:
            if rule.matches(path):
                return rule.include
        return not self.has_includes

    @property
    def has_includes(self) -> bool:
        """Whether only what is named is taken."""
        return any(rule.include for rule in self.rules)

    def leaves_out(self, folder: str) -> bool:
        """Whether nothing in a folder is meant, so that nobody has to look into it."""
        for rule in self.rules:
            if rule.include:
                return False  # it may match something in there
            if rule.matches(f"{folder}/"):
                return True
        return False
