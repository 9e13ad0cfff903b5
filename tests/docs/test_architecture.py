"""ARCHITECTURE.md and tests/README.md are true: every file is in their maps, with what it holds."""

import re

import architecture_map as maps
import tests_map

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


def test_the_map_of_the_tests_is_theirs():
    page = tests_map.PAGE.read_text()
    assert tests_map.made(page) == page, "run: python tests/docs/tests_map.py"


def test_every_file_of_tests_says_in_a_line_what_it_shows():
    lines = [(path, maps.first_sentence(path)) for path in tests_map.test_files()]
    assert len(lines) > 300
    assert [path for path, line in lines if not line or len(line) > 130] == []


def test_contributing_says_of_every_package_where_it_ran():
    table = (maps.ROOT / "CONTRIBUTING.md").read_text().partition("## What runs where")[2]
    named = re.findall(r"^\| `([\w/]+)/` \|", table, re.M)
    there = {
        path.parent.relative_to(maps.ROOT) for path in maps.ROOT.glob("plugins/*/pyproject.toml")
    }
    assert set(named) == {"core", *(path.as_posix() for path in there)}
