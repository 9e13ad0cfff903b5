"""ARCHITECTURE.md is true: its maps name every file, and every file that it names is there."""

import re

import architecture_map as maps

PAGE = maps.PAGE.read_text()
ROOTS = (maps.ROOT, *maps.SOURCES.values())


def test_the_maps_are_those_of_the_sources():
    assert maps.made(PAGE) == PAGE, "run: python tests/docs/architecture_map.py"


def test_every_file_and_folder_named_is_there():
    above = PAGE[: PAGE.index("## Map of")]
    named = set(re.findall(r"`([\w./]+(?:\.py|/))`", above))
    assert len(named) > 30
    missing = [name for name in named if not any((root / name).exists() for root in ROOTS)]
    assert not missing


def test_every_file_says_in_a_line_what_it_holds():
    lines = re.findall(r"^- `[\w.]+`: (.*)$", PAGE, re.M)
    assert len(lines) > 300
    assert all(line and len(line) <= 130 for line in lines)
