"""Drawings as inline SVG: boxes, arrows and words in the colors of the page's theme.

A drawing is a list of shapes on a grid; units are pixels at full width. The page may be narrower:
then the drawing keeps its size and scrolls, so that its words stay legible.
"""

from __future__ import annotations

from html import escape
from typing import Final

import attrs

_WIDTH: Final = 720
_LINE: Final = 16  # from one line of text to the next


@attrs.frozen
class Box:
    """A rectangle with a bold first line and plain further ones; `kind` is its class of color."""

    x: int
    y: int
    width: int
    height: int
    text: str
    kind: str = "plain"

    def svg(self) -> str:
        """The rectangle, and its lines centered in it."""
        lines = self.text.split("\n")
        middle = self.x + self.width / 2
        top = self.y + self.height / 2 - (len(lines) - 1) * _LINE / 2 + 4.5
        words = [
            f'<text x="{middle:g}" y="{top + number * _LINE:g}" '
            f'class="{"more" if number else "strong"}">{escape(line)}</text>'
            for number, line in enumerate(lines)
        ]
        place = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        return f'<rect {place} rx="5" class="{self.kind}"/>' + "".join(words)


@attrs.frozen
class Arrow:
    """A straight arrow through points `x,y x,y ...`, with words at `at`."""

    points: str
    text: str = ""
    at: tuple[int, int] = (0, 0)

    def svg(self) -> str:
        """The line with its head, and the words beside it."""
        words = f'<text x="{self.at[0]}" y="{self.at[1]}" class="small">{escape(self.text)}</text>'
        line = f'<polyline points="{self.points}" marker-end="url(#head)"/>'
        return line + (words if self.text else "")


def drawing(title: str, height: int, *shapes: Box | Arrow) -> str:
    """A figure that scrolls by keyboard where it is wider than the page."""
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z"/></marker></defs>'
    )
    body = "".join(shape.svg() for shape in shapes)
    return (
        f'<div class="drawing" tabindex="0" role="group" aria-label="{escape(title)} (scrolls)">'
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}">'
        f"<title>{escape(title)}</title>{head}{body}</svg></div>"
    )


def flow() -> str:
    """From a model and plugins to results."""
    return drawing(
        "How a model becomes results: a frontend reads it, discovery finds devices, the planner "
        "chooses by cost, the session runs the plan and keeps what it measured",
        330,
        Box(10, 20, 150, 50, "model.onnx\nyour file"),
        Box(10, 120, 150, 50, "frontend\na plugin reads it", "plugin"),
        Box(560, 20, 150, 50, "plugins\npip packages", "plugin"),
        Box(560, 120, 150, 50, "discovery\nfinds, isolates, lists"),
        Box(255, 120, 210, 50, "Session\nstages + devices", "accent"),
        Box(255, 230, 210, 60, "planner (schedule)\ncosts in, plan + reasons out"),
        Box(10, 230, 150, 60, "history\nmeasured costs"),
        Box(560, 230, 150, 60, "devices run it\nCPU, GPU, FPGA", "plugin"),
        Arrow("85,70 85,118"),
        Arrow("635,70 635,118"),
        Arrow("160,145 253,145", "graph", (206, 138)),
        Arrow("560,145 467,145", "records", (513, 138)),
        Arrow("330,170 330,228", "costs", (305, 203)),
        Arrow("400,230 400,172", "plan", (424, 203)),
        Arrow("465,160 500,160 500,260 558,260", "batches", (528, 251)),
        Arrow("635,290 635,312 85,312 85,292", "what each run took", (360, 306)),
        Arrow("160,260 205,260 205,158 253,158", "", (0, 0)),
    )


def layers() -> str:
    """The layers of the core, and who stands outside."""
    return drawing(
        "Layers of the core: contracts at the bottom, discovery and schedule beside each other, "
        "runtime above, cli and testing on top; plugins use the public API only",
        300,
        Box(10, 15, 215, 50, "cli\nds-sdk: parse, call, print"),
        Box(235, 15, 215, 50, "testing\nconformance kit"),
        Box(10, 85, 440, 50, "runtime\nsessions, plans, history, calibration, traces", "accent"),
        Box(10, 155, 215, 50, "discovery\nfinds and isolates plugins"),
        Box(235, 155, 215, 50, "schedule\npure decisions"),
        Box(10, 225, 440, 50, "contracts\nerrors, tensors, graphs, devices, records"),
        Box(540, 15, 170, 120, "plugins\ndevices, tiers,\nfrontends, steps,\ncommands", "plugin"),
        Box(540, 190, 170, 85, "deepseek_core\nthe public API:\nall that plugins import"),
        Arrow("115,65 115,83"), Arrow("342,65 342,83"),
        Arrow("115,135 115,153"), Arrow("342,135 342,153"),
        Arrow("115,205 115,223"), Arrow("342,205 342,223"),
        Arrow("625,135 625,188", "import", (655, 166)),
        Arrow("540,240 452,240", "names of", (496, 233)),
    )  # fmt: skip


def store() -> str:
    """Where the bytes of a store go."""
    disks = [Box(280 + 44 * number, 210, 38, 34, f"d{number}") for number in range(9)]
    parities = [attrs.evolve(disk, kind="plugin") for disk in disks[6:]]
    return drawing(
        "Where the bytes of a store go: a put is flushed to the log on the fast disk and "
        "acknowledged; full segments become fragments of stripes over disks, with parities; "
        "what is rarely read moves to wide stripes; reads are verified and pass a cache",
        360,
        Box(10, 20, 120, 50, "put\nyour bytes"),
        Box(190, 20, 190, 50, "hot: the log\nfast disk, flushed", "accent"),
        Box(560, 20, 150, 50, "index\nmade from the log"),
        Arrow("130,38 188,38", "append", (159, 31)),
        Arrow("188,56 132,56", "safe", (159, 70)),
        Arrow("380,45 558,45", "where each shard is", (469, 38)),
        Box(10, 120, 120, 50, "get\nverified bytes"),
        Box(190, 120, 190, 50, "cache in memory\nprefetched shards"),
        Arrow("188,145 132,145"),
        Arrow("230,70 230,118"),
        Box(10, 205, 220, 44, "warm: stripes, RS(6,3)\n6 data + 3 parities"),
        *disks[:6],
        *parities,
        Arrow("340,70 340,95 430,95 430,206", "full segments", (478, 112)),
        Arrow("300,206 300,172", "fragments", (335, 192)),
        Box(10, 295, 220, 50, "cold: wide stripes\nLRC over disks or a bucket"),
        Box(280, 295, 390, 50, "many domains, little overhead", "plugin"),
        Arrow("430,246 430,293", "rarely read: packed again", (518, 274)),
    )
