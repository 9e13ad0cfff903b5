"""What plugins' commands share with ours, by the face."""

import re

import pytest

from deepseek_core import console, errors
from deepseek_core.cli.main import main


def parser():
    made = console.command_parser("acme", summary="do it", examples="examples:\n  ds-sdk acme x")
    made.add_argument("word")
    made.add_argument("--depth", type=int)
    return made


def test_a_parser_tells_mistakes_as_errors_of_the_tree():
    for words in ([], ["x", "--depth", "deep"], ["x", "--dep", "1"]):
        with pytest.raises(errors.ConfigError) as told:
            parser().parse_args(words)
        assert told.value.remedy.endswith("ds-sdk acme --help")
    assert parser().parse_args(["x", "--depth", "3"]).depth == 3


def test_a_value_given_twice_or_empty_is_refused_and_each_call_starts_afresh():
    made = parser()
    for words, told in (
        (["x", "--depth", "1", "--depth", "1"], "argument --depth: given twice"),
        (["x", "--depth", ""], "argument --depth: must not be empty"),
        ([""], "argument word: must not be empty"),
    ):
        with pytest.raises(errors.ConfigError) as refused:
            made.parse_args(words)
        assert refused.value.message == told
    for _ in range(2):
        assert made.parse_args(["x", "--depth", "3"]).depth == 3


def test_what_takes_many_values_takes_them_still():
    made = parser()
    made.add_argument("--tag", action="append")
    made.add_argument("--maybe", nargs="?", const="yes", default="")
    found = made.parse_args(["x", "--tag", "a", "--tag", "a", "--maybe"])
    assert (found.tag, found.maybe) == (["a", "a"], "yes")
    assert made.parse_args(["x"]).maybe == ""


def test_a_switch_after_the_command_is_told_where_it_stands():
    with pytest.raises(errors.ConfigError) as told:
        parser().parse_args(["x", "--no-plugins"])
    assert told.value.remedy == "switches stand before the command: ds-sdk --no-plugins ..."


def test_examples_keep_their_lines(capsys):
    with pytest.raises(SystemExit) as left:
        parser().parse_args(["--help"])
    assert left.value.code == 0
    assert "\nexamples:\n  ds-sdk acme x\n" in capsys.readouterr().out


def test_parsers_below_are_of_the_same_kind():
    made = console.command_parser("acme", summary="", examples="")
    made.add_subparsers(required=True, dest="action").add_parser("go").add_argument("--n", type=int)
    with pytest.raises(errors.ConfigError):
        made.parse_args(["go", "--n", "x"])
    with pytest.raises(errors.ConfigError):
        made.parse_args([])


def test_progress_goes_to_stderr_in_a_pipe_and_not_at_all_when_quiet(capsys):
    with console.ProgressReporter("work") as progress:
        progress(0, 2, "first")
        progress(2, 2, "done")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "work: 2/2 done"
    with console.ProgressReporter("work", quiet=True) as progress:
        progress(2, 2, "done")
    assert capsys.readouterr() == ("", "")


def test_a_page_holds_its_text_and_escapes_what_it_is_given(tmp_path):
    body = console.table(("a",), [("<script>",)]) + console.line_chart(
        [(0, 1), (1, 2)],
        name="<script>",
        x=console.Axis(title="<script>"),
        y=console.Axis(title="&<script>", shown="{} s".format),
    )
    console.write_html(tmp_path / "page.html", "<title>", body)
    page = (tmp_path / "page.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<h1>&lt;title&gt;</h1>" in page
    assert page.count("<script>") == 0
    assert "prefers-color-scheme:dark" in page
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("values", "heights", "low"),
    [
        ((0, 5, 10), (150, 87, 24), None),
        ((2, -2, 1), (24, 150, 55.5), "-2"),  # 0 is in the middle
        ((-4, -8, -2), (87, 150, 55.5), "-8"),  # 0 is at the top
        ((0, 0, 0), (150, 150, 150), None),
    ],
)
def test_a_line_stays_within_its_frame_and_0_is_there(values, heights, low):
    chart = console.line_chart(
        list(enumerate(values)), name="n", x=console.Axis(title="x"), y=console.Axis(title="y")
    )
    drawn = re.search(r'points="([^"]*)"', chart).group(1).split()
    assert [float(point.split(",")[1]) for point in drawn] == [pytest.approx(h) for h in heights]
    assert chart.count("<line") == (2 if low is None else 3)
    assert low is None or f">{low}<" in chart


def test_places_that_can_not_be_written_are_refused_before_the_work(tmp_path):
    console.check_writable(None, str(tmp_path / "new.html"))
    for path in (tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(errors.ConfigError):
            console.check_writable(str(path))


def test_every_name_it_offers_is_there():
    assert sorted(console.__all__) == console.__all__
    assert all(hasattr(console, name) for name in console.__all__)
    assert console.format_bytes(1536) == "1.5 KiB"
    assert console.format_seconds(0.0123) == "12.3 ms"
    assert console.render_table(("A", "B"), [("1", "22")]) == "A  B\n1  22"


def test_it_is_not_loaded_for_our_own_help(capsys):
    assert main(["--help"]) == 0
    assert "usage: ds-sdk" in capsys.readouterr().out
