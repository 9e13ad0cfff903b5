"""Objects by the command line: what goes in comes out, and mistakes are told."""

import io
import json
import sys

import pytest


@pytest.fixture
def store(cli):
    cli.init()
    return cli


@pytest.fixture
def typed(monkeypatch):
    """What stands on stdin."""

    def say(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return say


def test_a_file_comes_back_as_it_was(store, tmp_path):
    data = bytes(range(256)) * 4000
    (tmp_path / "in").write_bytes(data)
    assert "generation" in store("put", "a/b", tmp_path / "in")
    assert store("get", "a/b", tmp_path / "out").startswith("1 object, 1000.0 KiB")
    assert (tmp_path / "out").read_bytes() == data


def test_a_pipe_goes_in_and_out(store, typed):
    typed(b"\x00\xffnot text\r\n")
    store("put", "k", "-")
    store("get", "k", "-")
    assert store.raw == b"\x00\xffnot text\r\n"


def test_an_empty_object_is_an_object(store, typed):
    typed(b"")
    store("put", "nothing", "-")
    store("get", "nothing", "-")
    assert store.raw == b""
    assert store.json("stat", "nothing")["nbytes"] == 0


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("2:5", b"cde"),
        ("7:", b"hij"),
        (":3", b"abc"),
        ("5:99", b"fghij"),
        ("20:30", b""),
        (":", None),
    ],
)
def test_a_range_is_what_lies_between(store, typed, wanted, found):
    typed(b"abcdefghij")
    store("put", "k", "-")
    store("get", "k", "-", f"--range={wanted}")
    assert store.raw == (b"abcdefghij" if found is None else found)


@pytest.mark.parametrize("wanted", ["5:2", "-1:3", "3", "a:b"])
def test_what_is_no_range_is_refused(store, wanted):
    store("get", "k", "-", f"--range={wanted}", code=2)
    assert "is not a range" in store.err


def test_a_folder_goes_in_and_comes_back(store, tmp_path):
    files = {"x.bin": b"1", "deep/er/y": b"22", "deep/z": b""}
    for name, data in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    told = store.json("put", "train", tmp_path / "in", "--recursive")
    assert [each["key"] for each in told["objects"]] == [
        "train/deep/er/y",
        "train/deep/z",
        "train/x.bin",
    ]
    store("get", "train/", tmp_path / "out", "--recursive")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == files
    store("get", "train/deep", tmp_path / "part", "--recursive")
    assert (tmp_path / "part" / "z").read_bytes() == b""
    store("get", "train/de", tmp_path / "raw", "--prefix")
    assert (tmp_path / "raw" / "deep" / "z").read_bytes() == b""
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_needs_the_word_for_it(store, tmp_path):
    store("put", "k", tmp_path, code=2)
    assert "--recursive" in store.err
    store("put", "k", tmp_path / "none", code=2)
    assert "no file" in store.err


def test_folders_and_objects_are_listed(store, typed):
    for key in ("a/x", "a/y/z", "b"):
        typed(key.encode())
        store("put", key, "-")
    assert store("ls").split() == ["a/", "b"]
    assert store("ls", "a").split() == ["a/x", "a/y/"]
    assert store("ls", "a/x") == "a/x\n"
    assert store("ls", "--null", "a") == "a/x\0a/y/\0"
    store("ls", "none", code=1)
    assert store("ls", "a", "--all").split() == ["a/x", "a/y/z"]
    assert store("ls", "--all").split() == ["a/x", "a/y/z", "b"]
    head, folder, row = store("ls", "--long").splitlines()
    assert head.split()[0] == "SIZE"
    assert folder.split()[-1] == "a/"
    assert row.split()[-1] == "b"
    told = store.json("ls")
    assert told["folders"] == ["a/"]
    assert [(one["key"], one["nbytes"], one["tier"]) for one in told["objects"]] == [
        ("b", 1, "hot")
    ]


def test_keys_change_in_one_step(store, typed):
    typed(b"body")
    store("put", "one", "-")
    store("cp", "one", "two")
    store("mv", "two", "three")
    assert store("ls", "--all").split() == ["one", "three"]
    store("get", "three", "-")
    assert store.raw == b"body"


def test_what_is_deleted_is_gone(store, typed):
    for key in ("a/1", "a/2", "b"):
        typed(b"x")
        store("put", key, "-")
    would = store("rm", "a/", "--recursive", "--dry-run")
    assert would.splitlines() == ["a/1", "a/2", "would delete 2 objects, 2 B"]
    assert len(store("ls", "--all").split()) == 3
    assert store("rm", "a/", "--recursive") == "deleted 2 objects, 2 B\n"
    assert store("ls", "--all").split() == ["b"]
    store("rm", "none", "b", code=1)
    assert "nothing was deleted" in store.err
    assert store("ls", "--all").split() == ["b"]
    assert store.json("rm", "none", "b", "--force")["deleted"] == ["b"]


def test_a_generation_guards_an_object(store, typed):
    typed(b"first")
    generation = store.json("put", "k", "-", "--if-generation", 0)["objects"][0]["generation"]
    typed(b"second")
    store("put", "k", "-", "--if-generation", 0, code=1)
    assert "error:" in store.err
    store("rm", "k", "--if-generation", generation + 7, code=1)
    typed(b"second")
    store("put", "k", "-", "--if-generation", generation)
    store("get", "k", "-")
    assert store.raw == b"second"


def test_meta_is_kept(store, typed):
    typed(b"x")
    store("put", "k", "-", "--meta", "epoch=7", "--meta", "of=a=b")
    assert store.json("stat", "k")["meta"] == {"epoch": "7", "of": "a=b"}
    assert "of = a=b" in store("stat", "k")


def test_an_object_can_be_put_right_into_a_tier(store, typed):
    typed(b"x" * 5000)
    store("put", "k", "-", "--tier", "cold")
    assert store.json("stat", "k")["tier"] == "cold"
    store("get", "k", "-")
    assert store.raw == b"x" * 5000


@pytest.mark.parametrize("key", ["../up", "/abs", "a//b", "a/", "k" * 5000])
def test_what_is_no_key_is_refused(store, typed, key):
    typed(b"x")
    store("put", key, "-", code=2)
    assert "key" in store.err
    assert "fix:" in store.err


def test_a_key_of_any_language_will_do(store, typed):
    typed(b"x")
    store("put", "模型/größe 1.bin", "-")
    assert store("ls", "--all") == "模型/größe 1.bin\n"


def test_what_is_not_there_is_told(store, tmp_path):
    store("get", "none", tmp_path / "out", code=1)
    assert "there is no object 'none'" in store.err
    assert not list(tmp_path.glob("out*"))
    store("stat", "none", code=1)
    store("mv", "none", "x", code=1)
    store("get", "none", tmp_path / "x" / "y", code=1)


def test_a_home_without_a_store_is_told(cli):
    cli("ls", code=2)
    assert "there is no store" in cli.err


def test_a_store_is_shared_with_who_shares_it(store):
    from deepseek_store import Store

    with Store(store.home):
        store("ls", code=2)
        assert "shared=True" in store.err
    with Store(store.home, shared=True) as other:
        other.put("k", b"x")
        assert store("ls") == store("ls", "--shared") == "k\n"


def test_init_says_what_it_chose_and_why(cli, tmp_path):
    told = cli("init", "--warm", f"{tmp_path / 'disks'}?domains=9", "--set", "floor_nines.warm=5")
    assert "warm: " in told
    assert "on 9 failure domains" in told
    assert "chosen: " in told
    assert "refused: " in told
    assert "simulated" in told
    config = json.loads((cli.home / "store.json").read_text())
    assert config["tiers"][0]["url"] == f"{(tmp_path / 'disks').as_uri()}?domains=9"
    assert config["policy"]["floor_nines"] == {"hot": None, "warm": 5, "cold": None}


def test_init_explains_a_single_domain_in_one_line(cli, tmp_path):
    told = cli("init", "--cold", f"{tmp_path / 'bucket'}").splitlines()
    (refused,) = [line for line in told if "refused: " in line]
    assert "14 codes (" in refused and refused.endswith("can't survive the loss of one domain")


def test_init_refuses_what_the_domains_cannot_carry(cli, tmp_path):
    cli("init", "--warm", f"{tmp_path / 'd'}?domains=2", "--set", "floor_nines.warm=15", code=2)
    assert "15 nines" in cli.err
    assert "fix: " in cli.err
    assert not list(cli.home.iterdir())
    cli("init", "--set", "floor_nines.warm=15")


def test_init_leaves_what_is_there(cli):
    cli.init()
    cli("init", code=2)
    assert "a store" in cli.err


def test_settings_are_read_as_people_write_them(cli):
    told = cli.json(
        "init", "--set", "half_life_s=7d", "--set", "cache_nbytes=64M", "--set", "prefetch=false",
        "--set", "codes.cold=lrc(12,2,2)", "--set", "quota_nbytes.hot=1.5G",
        "--set", "sizing=fixed_rule",
    )["policy"]  # fmt: skip
    assert told["half_life_s"] == 7 * 86400
    assert told["cache_nbytes"] == 64 << 20
    assert told["prefetch"] is False
    assert told["codes"] == {"hot": "auto", "warm": "auto", "cold": "lrc(12,2,2)"}
    assert told["quota_nbytes"] == {"hot": 3 << 29, "warm": None, "cold": None}
    assert told["sizing"] == "fixed_rule"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("cache=1", "did you mean cache_nbytes?"),
        ("cache_nbytes=lots", "must be a size"),
        ("codes.tepid=rs(2,1)", "hot, warm, cold"),
        ("learn.warm=true", "these have: "),
        ("hysteresis=7", "0.9"),
        ("prefetch", "no value"),
    ],
)
def test_a_setting_that_does_not_fit_is_told_with_what_would(cli, setting, told):
    cli("init", "--set", setting, code=2)
    assert told in cli.err
    assert not cli.home.exists()


def test_the_group_lists_its_commands_and_each_has_examples(cli):
    from deepseek_store.cli.main import COMMANDS, find

    assert cli.group() == 0
    listing = cli.out
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in listing
        assert f"ds-sdk store {name} " in find(name).examples
        assert cli.group(name, "--help") == 0
        assert summary in " ".join(cli.out.split())
        assert "examples:" in cli.out


def test_a_slip_of_the_pen_gets_a_hint(cli):
    assert cli.group("explian", "data") == 2
    assert "'explain'" in cli.err
    assert cli.group("put", "data") == 2
    assert "KEY" in cli.err


@pytest.mark.parametrize(
    "words",
    [
        ("--cold", "s3://bucket?endpoint=http://127.0.0.1:9&secret_key=c4n4ry"),
        ("--cold", "s3://c4n4ry:c4n4ry@bucket"),
        ("--index", "postgresql://user:c4n4ry@127.0.0.1:9/db"),
        ("--index", "postgresql://127.0.0.1:9/db?password=c4n4ry"),
    ],
)
def test_a_secret_that_is_written_down_is_repeated_nowhere(cli, words):
    cli("init", *words, code=2)
    assert "error: " in cli.err
    assert "c4n4ry" not in cli.err + cli.out
    kept = [path for path in cli.home.rglob("*") if path.is_file()]
    assert not any(b"c4n4ry" in path.read_bytes() for path in kept)


def test_a_setting_is_changed_and_what_was_written_stays_readable(cli, tmp_path):
    (tmp_path / "file").write_bytes(b"content" * 9_000)
    cli.init()
    cli("put", "old", tmp_path / "file", "--tier", "cold")
    told = cli.json("set", "codes.cold=rs(2,1)", "cache_nbytes=64K")["policy"]
    assert (told["codes"]["cold"], told["cache_nbytes"]) == ("rs(2,1)", 64 << 10)
    cli("put", "new", tmp_path / "file", "--tier", "cold")
    for key, code in (("old", "RS(4,2)"), ("new", "RS(2,1)")):
        assert code in cli("explain", key)
        cli("get", key, "-")
        assert cli.raw == b"content" * 9_000


def test_a_setting_that_the_tiers_cannot_carry_changes_nothing(cli):
    cli.init()
    before = cli.json("set")
    cli("set", "codes.cold=lrc(140,4,6)", code=2)
    assert "LRC(140,4,6)" in cli.err
    assert cli.json("set") == before
