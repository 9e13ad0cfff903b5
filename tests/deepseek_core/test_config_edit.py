"""Changing a list of the configuration file leaves everything else as it is."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.config_edit import change_list


@pytest.fixture
def edit(tmp_path):
    """Writes a file, changes its list `disable`, and reads it again."""

    def edit(text, **change):
        path = tmp_path / "config.toml"
        path.write_bytes(text.encode())
        change_list(path, "disable", **change)
        return path.read_bytes().decode()

    return edit


MULTI = """\
# mine
[plugins]  # switches
disable = [
    "one",  # it beeps
    # and this one smokes
    "two",
]
strict = true  # always

[plugin.npu]
disable = ["not this list"]
"""


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("", {"add": ["a"]}, '[plugins]\ndisable = ["a"]\n'),
        ("# top\n", {"add": ["a"]}, '# top\n\n[plugins]\ndisable = ["a"]\n'),
        ("[plugins]", {"add": ["a"]}, '[plugins]\ndisable = ["a"]\n'),
        ("[plugins]\nstrict = true\n", {"add": ["a"]},
         '[plugins]\nstrict = true\ndisable = ["a"]\n'),
        ("[plugins]\ndisable = []  # none\n", {"add": ["a"]},
         '[plugins]\ndisable = ["a"]  # none\n'),
        ("[plugins]\ndisable = ['a']\n", {"add": ["b", "a"]},
         "[plugins]\ndisable = ['a', \"b\"]\n"),
        ('[plugins]\ndisable = ["a", "b"]\n', {"remove": ["b"]}, '[plugins]\ndisable = ["a"]\n'),
        ('[plugins]\ndisable = ["a", "b"]\n', {"remove": ["a"]}, '[plugins]\ndisable = ["b"]\n'),
        ('[plugins]\ndisable = ["a"]\n', {"remove": ["a", "z"]}, "[plugins]\ndisable = []\n"),
        ('[plugins]\r\ndisable = ["a"]\r\n[plugin.x]\r\n', {"add": ["b"]},
         '[plugins]\r\ndisable = ["a", "b"]\r\n[plugin.x]\r\n'),
        ("[plugin.x]\r\na = 1\r\n", {"add": ["b"]},
         '[plugin.x]\r\na = 1\r\n\r\n[plugins]\r\ndisable = ["b"]\r\n'),
        (MULTI, {"add": ["three"]}, MULTI.replace('"two",', '"two",\n    "three",')),
        (MULTI, {"remove": ["two"]}, MULTI.replace('    "two",\n', "")),
        (MULTI, {"remove": ["one"]}, MULTI.replace('    "one",  # it beeps\n', "")),
        ('plugins.disable = ["a"]\n', {"add": ["b"]}, 'plugins.disable = ["a", "b"]\n'),
        ('plugins = { disable = ["a"] }\n', {"remove": ["a"]}, "plugins = { disable = [] }\n"),
        ('[plugins]\n"disable" = ["a"]\n', {"add": ["b"]}, '[plugins]\n"disable" = ["a", "b"]\n'),
    ],
)  # fmt: skip
def test_one_list_changes_and_nothing_else(before, change, after, edit):
    assert edit(before, **change) == after


@pytest.mark.parametrize(
    "text",
    ["[plugins]\ndisable = 3\n", "[plugins]\ndisable = 'a'\n", "plugins = 3\n", "[plugins\n"],
)
def test_what_is_not_understood_is_left_alone(text, edit, tmp_path):
    with pytest.raises(ConfigError) as caught:
        edit(text, add=["b"])
    assert "by hand" in caught.value.remedy
    assert (tmp_path / "config.toml").read_text() == text


names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1), unique=True
)


@settings(max_examples=40)
@given(old=names, add=names, remove=names)
def test_whatever_the_names_are_the_list_holds_them(old, add, remove, tmp_path_factory):
    path = tmp_path_factory.mktemp("edit") / "config.toml"
    change_list(path, "disable", add=old)
    changed = change_list(path, "disable", add=add, remove=remove)
    found = tomllib.loads(path.read_text())["plugins"]["disable"] if path.exists() else []
    kept = [name for name in old if name not in remove]
    assert found == [*kept, *(name for name in add if name not in kept)]
    assert changed or found == old


def test_a_link_stays_a_link_and_the_mode_stays(tmp_path):
    real = tmp_path / "dotfiles/config.toml"
    real.parent.mkdir()
    real.write_text("")
    real.chmod(0o600)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    change_list(link, "disable", add=["a"])
    assert link.is_symlink() and 'disable = ["a"]' in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in real.parent.iterdir()] == ["config.toml"]


def test_folders_are_made_and_what_cant_be_written_is_an_error(tmp_path):
    assert change_list(tmp_path / "a/b/config.toml", "disable", add=["x"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        change_list(tmp_path / "file/config.toml", "disable", add=["x"])
