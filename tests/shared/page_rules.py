"""What every page of ours keeps to, as far as its markup and its style sheet show it.

`faults` says what is wrong. `tests/pages/look.py` runs axe on the same pages in a browser.
"""

import re
from html.parser import HTMLParser

LEAST_PX = 11  # of text, on a phone too
PHONE = 340  # pixels between the margins of a narrow one
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
LEAST_CONTRAST_OF_MARKS = 3.0  # 1.4.11
OF_TEXT = ("ink", "soft", "good", "bad")
OF_MARKS = ("mark", "hot", "warm", "cold", "waste")
_VOID = {"meta", "img", "br", "hr", "link", "input"}
_SCROLL = {"tabindex": "0", "role": "region"}


def faults(text):
    """A sentence for each fault of a page."""
    page = _Page()
    page.feed(text)
    page.close()
    return [*page.faults, *_of_the_whole(text, page), *_of_style(page.style)]


def _of_the_whole(text, page):
    found = page.found
    if not text.lower().startswith("<!doctype html>"):
        yield "it has no doctype"
    if page.language != "en":
        yield "its language is not said"
    if not page.title.strip():
        yield "it has no title"
    if found.get("main", 0) != 1:
        yield "it has no main part, or several"
    if page.headings[:1] != [1] or page.headings.count(1) != 1:
        yield f"it does not begin with its only h1: {page.headings[:3]}"
    for before, after in zip(page.headings, page.headings[1:], strict=False):
        if after > before + 1:
            yield f"h{after} follows h{before}"
    if "viewport" not in page.metas:
        yield "a phone would draw it small: it has no viewport"
    for name in sorted({n for n in page.regions if page.regions.count(n) > 1}):
        yield f"two areas are called {name!r}"


def _of_style(style):
    for number, unit in re.findall(r"font(?:-size)?:(?:[\d]+ )?([\d.]+)(px|rem|em)", style):
        pixels = float(number) * (1 if unit == "px" else 15 if unit == "em" else 16)
        if pixels < LEAST_PX:
            yield f"text of {number}{unit} is too small"
    light, dark = _themes(style)
    if not dark:
        yield "it has no dark theme"
    for theme, colors in (("light", light), ("dark", light | dark)):
        for names, least in ((OF_TEXT, LEAST_CONTRAST), (OF_MARKS, LEAST_CONTRAST_OF_MARKS)):
            for name in names:
                for ground in ("page", "box"):
                    ratio = contrast(colors[name], colors[ground])
                    if ratio < least:
                        yield f"{name} on {ground} in {theme}: contrast {ratio:.2f}, not {least}"


def _themes(style):
    """The colors of the light theme, and those that the dark one changes."""
    blocks = re.findall(r":root\{([^}]*)\}", style.replace("\n", ""))
    colors = [dict(re.findall(r"--(\w+):\s*(#[0-9a-f]{3,6})", block)) for block in blocks]
    return (*colors, {}, {})[:2]


def contrast(one, other):
    """By WCAG 2.2: (L1 + 0.05) / (L2 + 0.05)."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(color):
    digits = color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


class _Page(HTMLParser):
    """Collects what the rules need; faults of single elements as they come."""

    def __init__(self):
        super().__init__()
        self.faults, self.headings, self.metas, self.regions = [], [], [], []
        self.found, self.open = {}, []
        self.language, self.title, self.style = None, "", ""
        self._unnamed = None  # an svg whose title has not come yet

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if self._unnamed is not None and tag != "title":
            self.faults.append("an svg does not begin with its title")
            self._unnamed = None
        self.found[tag] = self.found.get(tag, 0) + 1
        if tag not in _VOID:
            self.open.append((tag, given))
        if tag == "html":
            self.language = given.get("lang")
        if tag == "meta":
            self.metas.append(given.get("name"))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self._check(tag, given)

    def _check(self, tag, given):
        if tag == "svg":
            self._check_svg(given)
        if tag == "th" and "scope" not in given:
            self.faults.append("a th does not say what it heads: it has no scope")
        if tag == "img" and "alt" not in given:
            self.faults.append("an img has no alt")
        if tag == "script" or any(str(v).startswith(("http", "//")) for v in given.values()):
            self.faults.append(f"<{tag}> loads something, or is a script")
        if tag == "table" and not any(_is_scroll(g) for _, g in self.open):
            self.faults.append("a table can't be scrolled")
        if "scroll" in given.get("class", "").split():
            self.regions.append(given.get("aria-label", ""))
            if not _is_scroll(given):
                self.faults.append("an area that scrolls can't be reached by the keyboard")

    def _check_svg(self, given):
        if given.get("role") != "img":
            self.faults.append("an svg is no img")
        width = float(given.get("viewbox", "0 0 0").split()[2])
        if not width:
            self.faults.append("an svg has no viewBox")
        least = re.search(r"min-width:([\d.]+)px", given.get("style", ""))
        scrolls = any(_is_scroll(g) for _, g in self.open)
        if width > PHONE and not (scrolls and least and float(least[1]) >= width):
            self.faults.append(f"an svg {width:g} wide shrinks on a phone, and its text with it")
        self._unnamed = given

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            self.faults.append(f"something in <{tag}> is not closed")

    def handle_data(self, data):
        where = self.open[-1][0] if self.open else ""
        parents = [tag for tag, _ in self.open]
        if where == "title" and "svg" in parents:
            self._unnamed = None if data.strip() else self._unnamed
        elif where == "title":
            self.title += data
        elif where == "style":
            self.style += data


def _is_scroll(given):
    return given.items() >= _SCROLL.items() and bool(given.get("aria-label"))
