"""Names on the command line: an object, a folder, never their neighbors; globs and prefixes."""

import json

import pytest

from deepseek_store import Store

KEYS = ("runs/1", "runs/1/a", "runs/1/b/c", "runs/10", "runs/11/x", "run", "we[i]rd", "weird", "z")
FOLDER = ["runs/1", "runs/1/a", "runs/1/b/c"]


@pytest.fixture
def store(cli):
    cli.init()
    with Store(cli.home) as opened:
        for key in KEYS:
            opened.put(key, key.encode())
    return cli


def keys(store):
    return store("ls", "-R").split()


def pins(store):
    with Store(store.home) as opened:
        return sorted(opened.parts.state.pins)


def tiers(store):
    return {one["key"]: one["tier"] for one in store.json("ls", "-R")["objects"]}


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["runs/1", "-r"], FOLDER),
        (["runs/1/", "-r"], FOLDER[1:]),
        (["runs/1"], FOLDER[:1]),
        (["runs/1", "--prefix"], [*FOLDER, "runs/10", "runs/11/x"]),
        (["runs/*"], ["runs/1", "runs/10"]),
        (["runs/1?", "-r"], ["runs/10", "runs/11/x"]),
        (["runs/**"], [*FOLDER, "runs/10", "runs/11/x"]),
        (["we[i]rd"], ["we[i]rd"]),
        (["run", "z"], ["run", "z"]),
        (["runs", "-r", "--exclude", "1/"], ["runs/1", "runs/10", "runs/11/x"]),
        (["**", "-r"], list(KEYS)),
    ],
)
def test_rm_takes_what_was_named_and_no_neighbor(store, words, gone):
    assert store.json("rm", *words)["deleted"] == sorted(gone)
    assert keys(store) == sorted(set(KEYS) - set(gone))


@pytest.mark.parametrize("name", ["", "/", ".", "./"])
def test_rm_of_nothing_is_not_of_everything(store, name):
    store("rm", name, "-r", code=2)
    store("rm", "z", name, "-r", "-f", code=2)
    assert keys(store) == sorted(KEYS)


def test_rm_of_a_folder_needs_the_word_for_it(store):
    store("rm", "runs", code=1)
    assert "is a folder" in store.err
    assert "add -r" in store.err
    store("rm", "runs/1", "ru", code=1)
    assert "add --prefix" in store.err
    assert len(keys(store)) == len(KEYS)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["runs/1"], FOLDER),
        (["runs/1/"], FOLDER[1:]),
        (["runs/1", "--prefix"], [*FOLDER, "runs/10", "runs/11/x"]),
        (["we[i]rd"], ["we[i]rd"]),
    ],
)
def test_places_are_of_a_folder_and_no_neighbor(store, words, meant):
    store("pin", *words, "cold")
    assert pins(store) == sorted(meant)
    store("pin", "/", "--tier", "hot")
    store("unpin", *words)
    assert pins(store) == sorted(set(KEYS) - set(meant))
    store("send", *words, "--tier", "cold")
    cold = {key for key, tier in tiers(store).items() if tier == "cold"}
    assert cold == set(meant)
    assert store.json("warm", *words)["objects"] == len(meant)
    assert f"send {store.home}" in store.err
    assert set(tiers(store).values()) == {"hot"}


def test_a_tier_has_to_be_named(store):
    store("send", "z", code=2)
    assert "--tier hot" in store.err
    store("pin", "z", "tepid", code=2)


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["runs/1", "out", "-r"], {"1": "runs/1", "a": "runs/1/a", "b/c": "runs/1/b/c"}),
        (["runs/1/", "out", "-r"], {"a": "runs/1/a", "b/c": "runs/1/b/c"}),
        (["runs/1", "out/"], {"1": "runs/1"}),
        (["run", "z", "out"], {"run": "run", "z": "z"}),
        (["runs/11", "z", "out", "-r"], {"11/x": "runs/11/x", "z": "z"}),
        (["runs/11/", "z", "out", "-r"], {"x": "runs/11/x", "z": "z"}),
        (["runs/*", "out"], {"1": "runs/1", "10": "runs/10"}),
        (["runs/*/x", "out"], {"11/x": "runs/11/x"}),
        (["runs/1", "out", "--prefix"],
         {"1.ds-object": "runs/1", "1/a": "runs/1/a", "1/b/c": "runs/1/b/c", "10": "runs/10",
          "11/x": "runs/11/x"}),
        (["runs", "out", "-r", "--include", "x", "--include", "/10"],
         {"11/x": "runs/11/x", "10": "runs/10"}),
    ],
)  # fmt: skip
def test_get_lays_files_as_they_were_named(store, tmp_path, monkeypatch, words, files):
    monkeypatch.chdir(tmp_path)
    store("get", *words)
    out = tmp_path / "out"
    found = {
        str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()
    }
    assert found == files


def test_cat_writes_one_after_the_other(store):
    store("cat", "z", "run")
    assert store.raw == b"zrun"
    store("cat", "runs/1", "-r", "--offset", "5")
    assert store.raw == b"11/a1/b/c"
    store("cat", "runs/10", "--offset=-2", "--count", "1")
    assert store.raw == b"1"
    store("cat", "z", "none", "run", code=1)
    assert store.raw == b"zrun"
    assert "none" in store.err
    store("cat", "runs/1*")
    assert store.raw == b"runs/1runs/10"


def test_du_counts_by_folder(store):
    assert store("du", "runs/1").splitlines() == ["10\truns/1/b/", "24\truns/1"]
    assert store("du", "runs/1/", "-s") == "18\truns/1/\n"
    assert store("du", "runs/1*", "-s").splitlines() == [
        "6\truns/1", "18\truns/1/", "7\truns/10", "9\truns/11/",
    ]  # fmt: skip
    assert store("du", "-d", "0") == f"{sum(map(len, KEYS))}\t/\n"
    assert store("du", "-s", "-h").startswith(f"{sum(map(len, KEYS))}B")
    told = store.json("du", "runs")["folders"]
    assert [(one["name"], one["objects"]) for one in told] == [
        ("runs/1/b/", 1), ("runs/1/", 2), ("runs/11/", 1), ("runs", 5),
    ]  # fmt: skip
    assert sum(map(len, [*FOLDER, "runs/10"])) + 9 == told[-1]["nbytes"]
    store("du", "none", code=1)


def test_an_empty_store_has_nothing(cli):
    cli.init()
    assert cli("du") == "0\t/\n"
    assert cli("ls", "-R") == cli("ls") == ""


def test_ls_takes_globs_and_lines_for_programs(store):
    assert store("ls", "runs/*").split() == ["runs/1", "runs/1/", "runs/10", "runs/11/"]
    assert store("ls", "runs/**/x").split() == ["runs/11/x"]
    assert store("ls", "runs/1", "--prefix").split() == [*FOLDER, "runs/10", "runs/11/x"]
    assert store("ls", "runs", "-R0").split("\0") == [*FOLDER, "runs/10", "runs/11/x", ""]
    assert store("ls", "we[i]rd") == "we[i]rd\n"
    assert store("ls", "we[i]rd", "--no-glob") == "we[i]rd\n"
    assert store("ls", "runs/1", "-l").split()[5] == "6"
    assert store("ls", "runs/1", "-lh").split()[5:7] == ["6", "B"]
    store("ls", "runs/2*", code=1)


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["runs/1", "new"], {"new": "runs/1"}),
        (["runs/1", "new", "-r"], {"new": "runs/1", "new/a": "runs/1/a", "new/b/c": "runs/1/b/c"}),
        (["runs/1/", "new", "-r"], {"new/a": "runs/1/a", "new/b/c": "runs/1/b/c"}),
        (["runs/11", "new/", "-r"], {"new/11/x": "runs/11/x"}),
        (["runs/11/", "new/", "-r"], {"new/x": "runs/11/x"}),
        (["run", "z", "new"], {"new/run": "run", "new/z": "z"}),
        (["z", "runs"], {"runs/z": "z"}),
        (["z", "runs", "-T"], {"runs": "z"}),
        (["runs/1*", "new"], {"new/1": "runs/1", "new/10": "runs/10"}),
        (["z", "run"], {"run": "z"}),
    ],
)
@pytest.mark.parametrize("verb", ["cp", "mv"])
def test_cp_and_mv_follow_the_rules_of_their_names(store, verb, words, made):
    store(verb, *words, "-q")
    there = set(KEYS) - set(made.values()) if verb == "mv" else set(KEYS)
    assert keys(store) == sorted(there | set(made))
    for key, content in made.items():
        store("cat", key)
        assert store.out == content


def test_what_can_not_be_moved_is_told_and_nothing_is_lost(store):
    store("mv", "runs", "runs/x", "-r", code=2)
    assert "lies in what is to be" in store.err
    store("mv", "z", "z", code=1)
    store("mv", "run", "runs/1", "runs/10", "-T", code=2)
    store("cp", "runs/1", "runs/1/b/c", "new", "--if-generation", "0", code=2)
    told = store.json("cp", "z", "run", "-n")
    assert [one["name"] for one in told["skipped"]] == ["run"]
    assert store.json("mv", "runs/1", "new", "-r", "--dry-run")["dry_run"]
    assert keys(store) == sorted(KEYS)
    with Store(store.home) as opened:
        assert all(bytes(opened.get(key)) == key.encode() for key in KEYS)


def test_two_of_one_name_do_not_become_one(store):
    store("mv", "runs/1/a", "z", "runs/11/x", "new", "-q")
    store("mv", "new/a", "runs/1/", "-q")
    store("cp", "runs/1/a", "new/a2", "-q")
    with Store(store.home) as opened:
        opened.put("other/a", b"other")
    store("mv", "runs/1/a", "other/a", "both", "-q", code=1)
    assert "becomes both/a, too" in store.err
    assert {"both/a", "other/a"} <= set(keys(store))


def test_names_that_steer_a_terminal_are_told_as_escapes(cli, tmp_path):
    cli.init()
    (tmp_path / "file").write_bytes(b"x")
    cli("put", "evil\x1b[31m\nkey", tmp_path / "file")
    assert "\x1b" not in cli.out + cli.err
    cli("rm", "evil\x1b[31m\nkey", "--dry-run")
    assert "\x1b" not in cli.out
    cli("ls", "-l")
    assert "\x1b" not in cli.out
    cli("ls", "-0")
    assert cli.raw == b"evil\x1b[31m\nkey\0"
    assert json.loads(cli("ls", "--json"))["objects"][0]["key"] == "evil\x1b[31m\nkey"


def test_options_may_stand_between_names(store, tmp_path):
    store("rm", "run", "--dry-run", "z")
    assert "2 objects" in store.out
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    store("put", "in/", tmp_path / "one", "--quiet", tmp_path / "two")
    assert {"in/one", "in/two"} <= set(keys(store))


def test_remedies_name_the_store(store, tmp_path):
    store("get", "none", tmp_path / "x", code=1)
    assert f"ds-sdk store ls {store.home}" in store.err
