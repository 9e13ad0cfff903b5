"""Runs the fenced blocks of a page in order, as a reader would, and compares what they print.

    console              each `$ command` runs in bash; the lines below it are its output
    any, title="FILE"    is written to FILE
    python               runs in one namespace for the page
    text                 right below a python block: what that printed
    sh                   shown, not run (a page of the tutorial may have none)

What differs from run to run does not count: numbers, the CPU's name, which of several devices
won. A line `...` stands for any lines. Rewrite the outputs of pages that say something else now; or
all figures, so that those of a page are of one run:

    python tests/docs/doc_blocks.py sdk_docs/tutorial/first_plan.md ...
    python tests/docs/doc_blocks.py --figures sdk_docs/tutorial/first_plan.md ...
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
from stranger import make_environment

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "sdk_docs"
BIN = Path(sys.executable).parent
LIMIT_S = 120
SHOWN_HOME, SHOWN_PREFIX = "/home/you/work", "/home/you/venv"
_FENCE = re.compile(r"^```(\w+)?([^\n`]*)\n(.*?)^```$", re.M | re.S)
_TITLE = re.compile(r'title="([^"]+)"')


@attrs.define(kw_only=True)
class Block:
    """One fenced block; `start` and `end` bound its content in the page's text."""

    language: str
    title: str | None
    content: str
    start: int
    end: int


def blocks_of(text):
    return [
        Block(
            language=match[1] or "",
            title=title[1] if (title := _TITLE.search(match[2])) else None,
            content=match[3],
            start=match.start(3),
            end=match.end(3),
        )
        for match in _FENCE.finditer(text)
    ]


@attrs.define(kw_only=True)
class Check:
    """What a page says that something prints, and what it printed."""

    what: str
    expected: str
    actual: str

    @property
    def holds(self):
        return matches(normalized(self.expected), normalized(self.actual))


class Reader:
    """Follows a page in a folder of its own, with the `bin` of `prefix` first on the path."""

    def __init__(self, folder, prefix=BIN.parent):
        self.home, self.cwd, self.prefix = folder, folder / "work", Path(prefix)
        self.cwd.mkdir()
        self.start = self.cwd
        self.environment = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("DEEPSEEK_", "PIP_", "XDG_", "PYTHON", "VIRTUAL_ENV"))
        } | {
            "PATH": os.pathsep.join([str(self.prefix / "bin"), os.environ["PATH"]]),
            "HOME": str(folder),
            "DEEPSEEK_CACHE_DIR": str(folder / "cache"),
            "DEEPSEEK_CONFIG": str(folder / "config.toml"),
            "PIP_NO_INDEX": "1",  # offline, with the build tools that are installed
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the option's own value
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "SDK": str(ROOT),
        }
        self.namespace = {"__name__": "__page__"}

    def follow(self, text, figures=False):
        """The checks of a page, and its text with the outputs (or all figures) as they are now."""
        checks, edits, printed = [], [], None
        for block in blocks_of(text):
            said = None
            if block.title is not None:
                self._write(block)
            elif block.language == "console":
                mine = [self._command(*pair) for pair in _commands(block.content)]
                checks += mine
                edits.append((block, _console(mine, figures)))
            elif block.language == "python":
                said = self._python(block.content)
            elif block.language == "text" and printed is not None:
                checks.append(Check(what="python", expected=block.content, actual=printed))
                edits.append((block, checks[-1].actual))
                printed = None
            if printed:  # a page must show what its code prints
                checks.append(Check(what="python", expected="", actual=printed))
            printed = said
        if printed:
            checks.append(Check(what="python", expected="", actual=printed))
        return checks, _edited(text, edits)

    def _write(self, block):
        path = self.cwd / block.title.replace("~", str(self.home))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.content)

    def _command(self, command, expected):
        state, exports = self.home / "cwd", self.home / "exports"  # a shell lives for one command
        exports.touch()
        script = (
            f". {exports}\n{command}\ncode=$?; export -p > {exports}; pwd > {state}; exit $code"
        )
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.cwd, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        self.cwd = Path(state.read_text().strip())
        actual = self._shown(done.stdout)
        told = re.search(r"^error: ", expected or actual, re.M)
        if done.returncode and not told:
            raise AssertionError(f"$ {command}\nexit code {done.returncode}\n{done.stdout}")
        return Check(what=command, expected=expected, actual=actual)

    def _python(self, code):
        out = io.StringIO()
        outside, before = Path.cwd(), {**os.environ}
        os.environ.update({k: v for k, v in self.environment.items() if k.startswith("DEEPSEEK_")})
        os.chdir(self.cwd)
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(code, "<page>", "exec"), self.namespace)
        finally:
            os.chdir(outside)
            os.environ.clear()
            os.environ.update(before)
        return self._shown(out.getvalue())

    def _shown(self, output):
        """The output with folders as a reader's, and without what only this checkout has."""
        for real, shown in (
            (self.start, SHOWN_HOME),
            (self.home, "/home/you"),
            (self.prefix, SHOWN_PREFIX),
            (ROOT, "/home/you/sdk"),
        ):
            output = output.replace(str(real), shown)
        output = _NULL_AS_JSON.sub("", output)
        lines = [line for line in output.splitlines() if not _DROPPED.match(line)]
        return (
            "".join(f"{line.rstrip()}\n" for line in lines)
            .replace(", null:0", "")
            .replace(", null\n", "\n")
        )


_NULL_AS_JSON = re.compile(r',\s*\{\s*"device": "null:0"[^{}]*\}|\{\s*"device": "null:0"[^{}]*\},')
# Progress, which comes by the clock; and the teaching example, which users do not have.
_DROPPED = re.compile(r"(\w+: \d+/\d+ )|((hook:|->| )*null(:0)?:? )|.*(deepseek-null|plugins/null)")

_LISTING = re.compile(r"^\$ .*ds-sdk (list-plugins|plugin-info|doctor)", re.M)


def follow(page, folder, shared=None, figures=False):
    """Follow a page of the documentation; one that installs something gets an environment.

    `shared` keeps the compiled kernels and the devices found of all pages: both take long. A page
    that shows whether devices were asked finds them anew.
    """
    text = page.read_text(encoding="utf-8")
    if shared is not None:
        (folder / "cache").mkdir()
        for name in ("opencl",) if _LISTING.search(text) else ("opencl", "probes"):
            (shared / name).mkdir(exist_ok=True)
            (folder / "cache" / name).symlink_to(shared / name)
    installs = re.search(r"^\$ pip install ", text, re.M)
    prefix = make_environment(folder / "venv") if installs else BIN.parent
    return Reader(folder, prefix).follow(text, figures)


def _commands(content):
    """(command, expected output) of each `$` line; `> ` goes on with the command."""
    pairs = []
    for line in content.splitlines():
        if line.startswith("$ "):
            pairs.append([line[2:], ""])
        elif line.startswith("> ") and not pairs[-1][1]:
            pairs[-1][0] += "\n" + line[2:]
        else:
            pairs[-1][1] += line + "\n"
    return pairs


def _console(checks, figures):
    parts = []
    for check in checks:
        shown = _refreshed(check.expected, check.actual) if figures else check.expected
        output = shown if check.holds else check.actual
        parts.append("$ " + check.what.replace("\n", "\n> ") + "\n" + output)
    return "".join(parts)


def _refreshed(expected, actual):
    """Lines of a page as they are now; those that `...` stands for stay out."""
    rest, lines = iter(actual.splitlines()), []
    for line in expected.splitlines():
        alike = normalized(line)
        found = alike and line != "..." and next((x for x in rest if normalized(x) == alike), None)
        lines.append(found or line)
    return "".join(f"{line}\n" for line in lines)


def _edited(text, edits):
    for block, content in sorted(edits, key=lambda edit: -edit[0].start):
        text = text[: block.start] + content + text[block.end :]
    return text


_NUMBER = re.compile(r"(?<![\w:])[-+]?\d[\d,]*(?:\.\d+)*(?:e[-+]?\d+)?(?![\w]*:)")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_UNIT = re.compile(r"# ?(ns|us|ms|s|min|h|x|KiB|MiB|GiB|TiB|B)\b")
_BY_MEASURED_COSTS = ("size: ", "best alternative: ", "last run: ")
_CHOSEN = re.compile(
    r"^(why: [\w.]+ runs on|why:|plan:|Steady state:|One batch takes|=>|\w+ on(?= .*measured$)) "
    r".*(?<!there\.)(?<!supports it\.)$"
)


def normalized(output):
    """Lines without what differs from run to run."""
    lines = map(_normalized, output.splitlines())
    return [line for line in lines if line and not line.startswith(_BY_MEASURED_COSTS)]


def _normalized(line):
    line = line.replace(_cpu_name(), "CPU").replace("AMD EPYC", "CPU")
    line = re.sub(r"^ *-> ", "", line)  # which device won
    line = _NUMBER.sub("#", _MOMENT.sub("#", " ".join(line.split())))
    return _CHOSEN.sub(r"\1", _UNIT.sub("#", line))


def _cpu_name():
    facts = Path("/proc/cpuinfo").read_text(errors="replace")
    found = re.search(r"^model name\s*: (.+)$", facts, re.M)
    return found[1] if found else "CPU"


def matches(expected, actual):
    """Whether the lines are the same; `...` in `expected` stands for any number of lines."""
    pattern = "".join(r"(?:.*\n)*?" if e == "..." else re.escape(e) + "\n" for e in expected)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in actual)) is not None


def main(arguments):
    figures = "--figures" in arguments
    for path in (Path(argument) for argument in arguments if argument != "--figures"):
        with tempfile.TemporaryDirectory() as folder:
            checks, now = follow(path, Path(folder), figures=figures)
            path.write_text(now)
            print(f"{path}: {sum(not c.holds for c in checks)} of {len(checks)} outputs rewritten")


if __name__ == "__main__":
    main(sys.argv[1:])
