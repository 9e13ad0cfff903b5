"""Globs, filters and the plan of a sync: what they mean, without a store or a file."""

import random
import re

import pytest

from deepseek_core import errors
from deepseek_store.cli.local.names import BESIDE, file_names, object_path
from deepseek_store.cli.local.patterns import Filter, Rule, literal_folder, matcher
from deepseek_store.cli.local.target_folder import stays_inside
from deepseek_store.cli.partial_failures import shown
from deepseek_store.cli.sync_plan import Item, SyncRules, make_sync_plan


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.png", ["a.png", ".png", "a\nb.png"], ["a/b.png", "a.pngx", "axpng"]),
        ("a?c", ["abc", "a.c"], ["a/c", "ac"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a/c"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "a/bz"]),
        ("**.py", ["a.py", "b/a.py"], ["a.pyc"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
        ("[]]", ["]"], ["[", ""]),
        ("[\\]", ["\\"], ["]"]),
        ("{a,b{c,d}}.x", ["a.x", "bc.x", "bd.x"], ["b.x", "a,b.x"]),
        ("a,b", ["a,b"], ["a", "b"]),
        ("\\*\\[", ["*["], ["xx"]),
        ("a.b+(c)|d^$", ["a.b+(c)|d^$"], ["axb+(c)"]),
        ("}", ["}"], [""]),
    ],
)
def test_a_glob_matches_what_it_should(pattern, yes, no):
    assert all(matcher(pattern).fullmatch(text) for text in yes)
    assert not any(matcher(pattern).fullmatch(text) for text in no)


@pytest.mark.parametrize("pattern", ["[", "[!", "{a", "a{b,{c}", "[z-a]", "/", ""])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(errors.ConfigError):
        Rule(True, pattern)


def test_texts_without_signs_match_themselves_alone():
    rng = random.Random(3)
    for _ in range(2000):
        text = "".join(rng.choice("ab.+^$()|/- \n\té,}]") for _ in range(rng.randrange(1, 9)))
        assert matcher(text).fullmatch(text)
        assert not matcher(text).fullmatch(text + "x")


def test_the_folder_of_a_pattern_is_what_no_sign_stands_in():
    assert literal_folder("a/b/*.x") == "a/b/"
    assert literal_folder("a*/b/c") == ""
    assert literal_folder("a/b[c]/d*") == "a/"


def test_a_folder_is_left_out_only_if_nothing_in_it_is_meant():
    rules = Filter((Rule(False, "tmp/"), Rule(True, "*.png"), Rule(False, "x")))
    assert rules.leaves_out("tmp")
    assert rules.leaves_out("a/tmp")
    assert not rules.leaves_out("x")
    assert rules.takes("x/y.png")
    assert not rules.takes("x/y")
    assert not rules.takes("a/tmp/y.png")
    rng = random.Random(4)
    parts = ("a", "b", "tmp", "x.png")
    for _ in range(500):
        rules = Filter(tuple(
            Rule(rng.random() < 0.4, "/" * rng.randrange(2) + "/".join(
                rng.choice([*parts, "*", "**"]) for _ in range(rng.randrange(1, 3))
            ) + "/" * rng.randrange(2)) for _ in range(3)
        ))  # fmt: skip
        folder = "/".join(rng.choice(parts) for _ in range(rng.randrange(1, 3)))
        if rules.leaves_out(folder):
            assert not any(rules.takes(f"{folder}/{a}/{b}") for a in parts for b in parts)


def test_names_of_files_lead_back_to_their_objects():
    rng = random.Random(5)
    for _ in range(1000):
        paths = {"/".join(rng.choice("ab") for _ in range(rng.randrange(1, 4))) for _ in range(5)}
        names = {path: file_names(paths).get(path, path) for path in paths}
        folders = {name[:at] for name in names.values() for at in _slashes(name)}
        assert len(set(names.values())) == len(paths)
        assert not folders & set(names.values())
        assert {object_path(name, folders.__contains__) for name in names.values()} == paths
    assert object_path(f"alone{BESIDE}", lambda _: False) == f"alone{BESIDE}"
    assert object_path(BESIDE, lambda _: True) == BESIDE


def _slashes(text):
    return [found.start() for found in re.finditer("/", text)]


@pytest.mark.parametrize(
    ("path", "text", "inside"),
    [
        ("a", "b", True),
        ("a", ".", True),
        ("a", "..", False),
        ("a/b", "../c", True),
        ("a/b", "../../c", False),
        ("a", "b/../../c", False),
        ("a", "/etc", False),
        ("a", "", True),
        ("a/b/c", ".././../x", True),
    ],
)
def test_links_that_lead_out_are_known(path, text, inside):
    assert stays_inside(path, text) is inside


def test_what_can_not_be_printed_is_an_escape():
    assert shown("a\nb\x1b[0m") == "a\\nb\\x1b[0m"
    assert shown("bad\udcff") == r"bad\xff"
    assert shown("\u202eevil 😀 é") == r"\u202eevil 😀 é"


A = Item(nbytes=1, mtime_ns=5, mode=0o644)


@pytest.mark.parametrize(
    ("there", "rules", "verdict"),
    [
        (None, {}, "copy"),
        (Item(nbytes=1, mtime_ns=5, mode=0o644), {}, "same"),
        (Item(nbytes=2, mtime_ns=5, mode=0o644), {}, "copy"),
        (Item(nbytes=2, mtime_ns=5), {"size_only": True}, "copy"),
        (Item(nbytes=1, mtime_ns=9), {}, "copy"),
        (Item(nbytes=1, mtime_ns=9), {"window_ns": 4}, "same"),
        (Item(nbytes=1, mtime_ns=9), {"window_ns": 3}, "copy"),
        (Item(nbytes=1, mtime_ns=9), {"size_only": True}, "same"),
        (Item(nbytes=1, mtime_ns=9), {"times": False}, "same"),
        (Item(nbytes=1, mtime_ns=9), {"same_bytes": lambda _: True}, "same"),
        (Item(nbytes=1, mtime_ns=5), {"same_bytes": lambda _: False}, "copy"),
        (Item(nbytes=1, mtime_ns=None), {}, "copy"),
        (Item(nbytes=1, mtime_ns=5, mode=0o600), {}, "dress"),
        (Item(nbytes=1, mtime_ns=5, mode=0o600), {"mode_bits": 0}, "same"),
        (Item(nbytes=1, mtime_ns=5, mode=0o4644), {"mode_bits": 0o777}, "same"),
        (Item(kind="link", text=b"x", nbytes=1, mtime_ns=5), {}, "copy"),
    ],
)
def test_a_plan_copies_what_differs(there, rules, verdict):
    target = {} if there is None else {("a", False): there}
    plan = make_sync_plan({("a", False): A}, target, SyncRules(**rules))
    assert plan.copy == ((("a", False),) if verdict == "copy" else ())
    assert plan.dress == ((("a", False),) if verdict == "dress" else ())
    assert plan.same == (verdict == "same")
    assert plan.delete == ()


def test_a_plan_deletes_what_the_source_does_not_have():
    folder = Item(kind="folder")
    source = {("a/b", False): A}
    target = {("a", True): folder, ("a", False): A, ("c", True): folder, ("c/d", False): A}
    plan = make_sync_plan(source, target, SyncRules())
    assert plan.delete == (("c/d", False), ("c", True), ("a", False))
