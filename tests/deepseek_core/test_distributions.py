"""Metadata in every odd state: what is left over hides nothing, what counts is what imports use."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata

import plugin_zoo as zoo
import pytest

from deepseek_core.discovery.distributions import distributions
from deepseek_core.discovery.installed import core_version, installed, one_of_each
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switches import Switches

INFO = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
POINTS = f"[{zoo.V1}]\nwell = zoo_well.hooks\n"


def folder_with(**files):
    """Makes a metadata folder with these files."""

    def make(path):
        path.mkdir()
        for name, content in files.items():
            file = path / name.replace("_txt", ".txt")
            file.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def make_pipes(path):
    path.mkdir()
    os.mkfifo(path / "METADATA")
    os.mkfifo(path / "entry_points.txt")


def make_nested(path):
    (path / "METADATA").mkdir(parents=True)


LEFTOVERS = {
    "an empty folder": folder_with(),
    "a file": lambda path: path.write_text(""),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a folder for a file": make_nested,
    "pipes": make_pipes,
    "empty metadata": folder_with(METADATA=""),
    "no name": folder_with(METADATA="Metadata-Version: 2.1\nVersion: 0.9\n"),
    "an empty name": folder_with(METADATA="Name: \nVersion: 0.9\n"),
    "noise": folder_with(METADATA=bytes(range(256))),
    "a record only": folder_with(RECORD="zoo_well/hooks.py,sha256=x,1\n"),
    "no metadata, no plugin": folder_with(entry_points_txt="[console_scripts]\nx = y:z\n"),
}


@pytest.fixture
def find(monkeypatch):
    """Discovers what is installed in folders, whose modules are forgotten at the end."""

    def find(*folders):
        for folder in reversed(folders):
            monkeypatch.syspath_prepend(str(folder))
        return discover(Switches(), entry_points=scan([str(folder) for folder in folders]))

    yield find
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


@pytest.mark.parametrize("state", LEFTOVERS)
@pytest.mark.parametrize(
    "name",
    [
        "zoo_well-0.9.dist-info",
        "zoo_well-2.0.dist-info",
        "Zoo.Well-1.dist-info",
        "zoo_well.egg-info",
    ],
)
def test_a_leftover_beside_it_hides_no_plugin(state, name, find, tmp_path):
    zoo.install(tmp_path, "well")
    LEFTOVERS[state](tmp_path / name)
    (row,) = find(tmp_path).plugins
    assert (row.status, row.dist, row.version) == ("available", "zoo-well", "1.0.0")


@pytest.mark.parametrize("state", LEFTOVERS)
def test_a_leftover_before_it_on_the_path_hides_no_plugin(state, find, tmp_path):
    (tmp_path / "user").mkdir()
    LEFTOVERS[state](tmp_path / "user/zoo_well-0.9.dist-info")
    zoo.install(tmp_path / "system", "well")
    (row,) = find(tmp_path / "user", tmp_path / "system").plugins
    assert (row.status, row.version) == ("available", "1.0.0")


@pytest.mark.parametrize("version", ["0.9", "2.0"])
@pytest.mark.parametrize("points", ["", "[console_scripts]\nx = y:z\n"])
def test_a_version_without_plugins_beside_it_hides_none(version, points, find, tmp_path):
    zoo.install(tmp_path, "well")
    zoo.describe(tmp_path, "zoo-well", version, points)
    (row,) = find(tmp_path).plugins
    assert (row.status, row.version) == ("available", "1.0.0")


def test_metadata_whose_module_lies_elsewhere_does_not_count(find, tmp_path):
    zoo.describe(tmp_path / "user", "zoo-well", "0.9", "")
    zoo.install(tmp_path / "system", "well")
    (row,) = find(tmp_path / "user", tmp_path / "system").plugins
    assert (row.version, row.location) == ("1.0.0", str(tmp_path / "system"))


def test_a_version_that_no_longer_has_the_plugin_shadows_one_that_had_it(find, tmp_path):
    shadowing = tmp_path / "user"
    (shadowing / "zoo_well").mkdir(parents=True)
    (shadowing / "zoo_well/__init__.py").write_text("")
    zoo.describe(shadowing, "zoo-well", "2.0", "")
    zoo.install(tmp_path / "system", "well")
    assert find(shadowing, tmp_path / "system").plugins == (), "as for imports"


def record(folder, version, files):
    """Note files with their sizes, as an installer does."""
    lines = "".join(f"{name},sha256=x,{nbytes}\n" for name, nbytes in files.items())
    (folder / f"zoo_well-{version}.dist-info/RECORD").write_text(lines)


@pytest.mark.parametrize(("old", "new", "counts"), [(0, 1, "1.0.0"), (1, 0, "2.0.0")])
def test_of_two_versions_in_one_folder_the_files_tell_which_one_is_there(
    old, new, counts, find, tmp_path
):
    zoo.install(tmp_path, "well")
    zoo.describe(tmp_path, "zoo-well", "2.0.0", POINTS)
    nbytes = (tmp_path / "zoo_well/hooks.py").stat().st_size
    record(tmp_path, "1.0.0", {"zoo_well/hooks.py": nbytes + old})
    record(tmp_path, "2.0.0", {"zoo_well/hooks.py": nbytes + new})
    assert [row.version for row in find(tmp_path).plugins] == [counts]
    process = zoo.ds_sdk("doctor", "--no-load", path=[tmp_path])
    assert f"; imports use {counts} -> pip uninstall -y zoo-well" in process.stdout


def test_without_evidence_the_later_of_two_versions_counts_and_doctor_says_so(tmp_path):
    zoo.install(tmp_path, "well", version="1.9")
    zoo.describe(tmp_path, "zoo-well", "1.10", POINTS)
    assert [point.version for point in scan([str(tmp_path)])] == ["1.10"]
    process = zoo.ds_sdk("doctor", "--no-load", path=[tmp_path])
    assert "taken for what imports use: 1.10 ->" in process.stdout


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("after", [b"", "Author: Größe\n".encode("latin-1")])
def test_marks_line_ends_and_encodings_do_not_matter(before, end, after, tmp_path):
    info = zoo.install(tmp_path, "well") / "zoo_well-1.0.0.dist-info"
    text = INFO.format(name="Zoo.Well", version="1.0.0").encode() + after + b"\nAll about it\n"
    points = POINTS.encode() + b"# " + after
    (info / "METADATA").write_bytes(before + text.replace(b"\n", end))
    (info / "entry_points.txt").write_bytes(before + points.replace(b"\n", end))
    (point,) = scan([str(tmp_path)])
    assert (point.name, point.dist, point.version) == ("well", "Zoo.Well", "1.0.0")


@pytest.mark.parametrize(
    "name", ["zoo well", "x; rm -rf ~", "\x1b[31mred", "-rf", "zoo_", "../zoo", "$(id)", "é", "@x"]
)
def test_a_name_that_packaging_does_not_allow_reaches_no_command(name, find, tmp_path):
    info = zoo.install(tmp_path, "well") / "zoo_well-1.0.0.dist-info"
    (info / "METADATA").write_text(INFO.format(name=name, version="1.0.0"), encoding="utf-8")
    (row,) = find(tmp_path).plugins
    assert (row.status, row.dist) == ("broken", "zoo_well")
    assert row.reason == f"malformed metadata: its metadata names it {name!r}"
    assert row.remedy == f"remove {str(info)!r}"
    assert "zoo_well.hooks" not in sys.modules


def test_a_folder_without_a_usable_name_reaches_no_command_either(find, tmp_path):
    zoo.install(tmp_path, "well")
    info = tmp_path / "a b; rm -rf ~-1.dist-info"
    (tmp_path / "zoo_well-1.0.0.dist-info").rename(info)
    (info / "METADATA").write_text(INFO.format(name="c d", version="1 && id"))
    (row,) = find(tmp_path).plugins
    assert (row.dist, row.version, row.status) == ("unnamed", "?", "broken")


@pytest.mark.parametrize("line", ["\x1b[31m = zoo_well.hooks", "well = zoo\x07", "a\u202eb = c"])
def test_an_entry_point_that_is_no_plain_text_is_told_escaped(line, find, tmp_path):
    zoo.install(tmp_path, "well")
    zoo.describe(tmp_path, "zoo-well", "1.0.0", f"[{zoo.V1}]\n{line}\n")
    (row,) = find(tmp_path).plugins
    assert row.status == "broken"
    assert all(map(str.isprintable, (row.name, row.reason, row.remedy, row.entry_point)))


def test_names_that_share_a_beginning_are_two(tmp_path):
    """Some tools leave the hyphens in a folder's name, so that it begins like another's."""
    zoo.install(tmp_path, "well", dist="my", module="my")
    info = zoo.describe(tmp_path, "my-plugin", "1.0.0", f"[{zoo.V1}]\nother = my_plugin\n")
    info.rename(tmp_path / "my-plugin-1.0.0.dist-info")
    assert {(p.name, p.dist) for p in scan([str(tmp_path)])} == {
        ("well", "my"),
        ("other", "my-plugin"),
    }


def test_a_copy_of_the_metadata_is_no_rival(find, tmp_path):
    zoo.install(tmp_path, "well")
    shutil.copytree(tmp_path / "zoo_well-1.0.0.dist-info", tmp_path / "backup-1.0.0.dist-info")
    (row,) = find(tmp_path).plugins
    assert (row.status, row.dist) == ("available", "zoo-well")


def test_eggs_as_folders_and_as_files_are_found_as_the_library_finds_them(tmp_path):
    egg = tmp_path / "zoo_well-1.0.0-py3.11.egg"
    zoo.install(egg, "well")
    (egg / "zoo_well-1.0.0.dist-info").rename(egg / "EGG-INFO")
    (egg / "EGG-INFO/METADATA").rename(egg / "EGG-INFO/PKG-INFO")
    zipped = tmp_path / "zoo_zipped-1.0.0-py3.11.egg"
    with zipfile.ZipFile(zipped, "w") as file:
        for path in egg.rglob("*"):
            file.write(path, path.relative_to(egg))
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "zoo_flat-3.egg-info").write_text(INFO.format(name="Zoo_Flat", version="3"))
    for place, name in ((egg, "zoo-well"), (zipped, "zoo-well"), (flat, "Zoo_Flat")):
        (theirs,) = metadata.distributions(path=[str(place)])
        (ours,) = distributions([str(place)])
        assert ours.described().name == theirs.metadata["Name"] == name
    assert [p.name for p in scan([str(egg)])] == [p.name for p in scan([str(zipped)])] == ["well"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x00" * 64])
def test_a_damaged_archive_on_the_path_hides_nobody(content, tmp_path):
    (tmp_path / "bad.zip").write_bytes(content)
    zoo.install(tmp_path, "well")
    assert [p.name for p in scan([str(tmp_path / "bad.zip"), str(tmp_path)])] == ["well"]


def test_a_path_with_entries_that_imports_pass_over_is_no_error(tmp_path):
    zoo.install(tmp_path, "well")
    odd = [None, 7, b"x", tmp_path, "", "\0", str(tmp_path / "missing"), "x" * 5000]
    path = [*odd, str(tmp_path), f"{tmp_path}/", f"{tmp_path}/."]
    assert [point.name for point in scan(path)].count("well") == 1
    assert [dist.key for dist in distributions(path)].count("zoo-well") == 1


def test_a_folder_that_the_path_has_under_two_names_counts_once(tmp_path):
    zoo.install(tmp_path / "lib", "well")
    (tmp_path / "lib64").symlink_to("lib")
    path = [str(tmp_path / "lib"), str(tmp_path / "lib64")]
    assert [str(dist.location) for dist in distributions(path)] == path[:1]


def test_a_line_that_is_there_twice_is_one_plugin(find, tmp_path):
    zoo.install(tmp_path, "well")
    zoo.describe(tmp_path, "zoo-well", "1.0.0", POINTS + "well = zoo_well.hooks\n")
    (row,) = find(tmp_path).plugins
    assert row.status == "available"


def test_a_plugin_that_puts_odd_things_on_the_path_keeps_no_device_from_being_asked(tmp_path):
    odd = "import pathlib, sys\nsys.path[:0] = [None, pathlib.Path('x'), b'y', object()]\n"
    zoo.install(tmp_path, "a_odd", hooks=odd + zoo.HOOKS)
    env = {"DEEPSEEK_PLUGINS": "a_odd", "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache")}
    process = zoo.ds_sdk("devices", "--json", path=[tmp_path], env=env)
    assert json.loads(process.stdout)["devices"][0]["id"] == "zoo_a_odd:0", process.stderr


class Finder:
    """A finder whose answer to `find_distributions` is what it is made with."""

    def __init__(self, answer):
        self._answer = answer

    def find_spec(self, *_):
        return None

    def find_distributions(self, *_):
        return self._answer()


def refuse():
    raise GeneratorExit


def broken():
    class Broken(metadata.Distribution):
        def read_text(self, _name):
            raise SystemExit

        locate_file = read_text

    return [Broken()]


@pytest.mark.parametrize("answer", [refuse, broken, lambda: None, lambda: [None]])
def test_a_finder_that_raises_hides_nobody(answer, monkeypatch, tmp_path):
    zoo.install(tmp_path, "well")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(answer)])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "well" in {point.name for point in scan()}


def test_what_counts_agrees_with_the_library_where_all_is_sound():
    ours = {dist.key: dist.described().version for dist in one_of_each(distributions())}
    for key, version in ours.items():
        if key.startswith("deepseek-"):
            assert metadata.version(key) == version
    assert installed("Deepseek_Core").version == core_version()
    assert installed("no-such-distribution") is None


@pytest.mark.parametrize("state", LEFTOVERS)
def test_a_leftover_of_core_does_not_change_its_version(state, tmp_path):
    LEFTOVERS[state](tmp_path / "deepseek_core-0.0.1.dist-info")
    process = zoo.ds_sdk("--version", path=[tmp_path])
    assert process.stdout.startswith(f"ds-sdk {core_version()} (")


def test_doctor_names_a_leftover_and_does_not_take_it_for_installed(tmp_path):
    (tmp_path / "zoo_gone-1.0.dist-info").mkdir()
    (tmp_path / "no such-1.0.dist-info").mkdir()
    process = zoo.ds_sdk("doctor", "--json", "--no-load", path=[tmp_path])
    told = [c for c in json.loads(process.stdout)["checks"] if c["name"] == "leftover"]
    assert [check["remedy"] for check in told] == [
        f"rm -r '{tmp_path}/no such-1.0.dist-info'",
        f"rm -r {tmp_path}/zoo_gone-1.0.dist-info",
    ]
    assert process.returncode == 0


def test_leftovers_are_neither_exported_nor_shown(tmp_path):
    zoo.install(tmp_path, "well")
    (tmp_path / "zoo_well-0.1.dist-info").mkdir()
    (tmp_path / "deepseek_core-0.0.1.dist-info").mkdir()
    exported = zoo.ds_sdk("plugins", "export", path=[tmp_path]).stdout
    assert "zoo-well==1.0.0\n" in exported and "0.0.1" not in exported
    info = json.loads(zoo.ds_sdk("plugin-info", "well", "--json", path=[tmp_path]).stdout)
    assert info["plugins"][0]["version"] == "1.0.0"


AS_ANYBODY = [] if os.geteuid() else [
    "setpriv", "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]  # fmt: skip


@pytest.mark.skipif(AS_ANYBODY and not shutil.which("setpriv"), reason="root may read everything")
def test_what_this_user_may_not_read_hides_nothing(tmp_path):
    zoo.install(tmp_path, "well")
    (tmp_path / "zoo_well-0.9.dist-info").mkdir()
    zoo.install(tmp_path / "closed/inner", "hidden")
    code = (
        "from deepseek_core.discovery.scan import scan\n"
        "print([(p.name, p.version) for p in scan() if p.dist.startswith('zoo')])"
    )
    path = [tmp_path / "closed", tmp_path / "closed/inner", tmp_path, zoo.SOURCES]
    shut = [tmp_path / "closed", tmp_path / "zoo_well-0.9.dist-info"]
    for place in shut:
        place.chmod(0)
    process = subprocess.run(
        [*AS_ANYBODY, sys.executable, "-P", "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for place in shut:
        place.chmod(0o755)
    assert process.stdout == "[('well', '1.0.0')]\n", process.stderr
