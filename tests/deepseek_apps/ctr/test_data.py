"""Files of users are read strictly, and what may leak is told before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepseek_apps.ctr.data.preparing import load_data, read_data, write_data
from deepseek_apps.ctr.options import Options
from deepseek_core import errors


def lines_of(rows: int = 200) -> list[str]:
    random = np.random.default_rng(0)
    return [
        f"{random.normal():.4f},{random.choice(['Feb', 'May'])},{row // 4},{row},{row % 2}"
        for row in range(rows)
    ]


def file_of(folder: Path, lines: list[str], header: str = "x,month,user,when,y") -> Path:
    path = folder / "clicks.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def read(path: Path, **options):
    return read_data(path, Options(**{"target": "y", "drop": "when", **options}))


def test_columns_are_typed_by_their_values(tmp_path: Path) -> None:
    data, card = read(file_of(tmp_path, lines_of()))
    assert data.table.inputs.columns.numbers == ("x", "user")
    assert data.table.inputs.columns.categories == ("month",)
    assert card.parts == {"train": 140, "validation": 20, "test": 40}


def test_codes_are_categories_where_they_are_named(tmp_path: Path) -> None:
    data, _ = read(file_of(tmp_path, lines_of()), categories="user")
    assert data.table.inputs.columns.categories == ("month", "user")


@pytest.mark.parametrize("mark", ["", "NA", "nan", "NULL", "?", " none "])
def test_missing_numbers_are_nan(tmp_path: Path, mark: str) -> None:
    lines = [f"{mark},Feb,1,1,0", *lines_of()]
    data, _ = read(file_of(tmp_path, lines))
    assert np.isnan(data.table.inputs.numbers[0, 0])


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    lines = [line.replace(",", delimiter) for line in lines_of()]
    data, _ = read(
        file_of(tmp_path, lines, f"x{delimiter}month{delimiter}user{delimiter}when{delimiter}y")
    )
    assert len(data.table) == 200


def test_a_delimiter_that_is_given_is_taken(tmp_path: Path) -> None:
    lines = [line.replace(",", "~") for line in lines_of()]
    data, _ = read(file_of(tmp_path, lines, "x~month~user~when~y"), delimiter="~")
    assert len(data.table) == 200


BAD = [
    ("0.5,Feb,1,1,2", {}, "neither 0 nor 1"),
    ("0.5,Feb,1,1,", {}, "y is missing, as in 1 of 201 rows"),
    ("0.5,Feb,1,1,NA", {"positive": "1"}, "y is missing, as in 1 of 201 rows"),
    ("0.5,Feb,1,1,?", {"click_from": "1"}, "y is missing, as in 1 of 201 rows"),
    ("abc,Feb,1,1,0", {}, "'abc', and a number in most"),
    ("inf,Feb,1,1,0", {}, "no finite number"),
    ("0.5,Feb,1,1", {}, "4 cells"),
    ("0.5,Feb,1,soon,0", {"split": "time", "time": "when", "drop": ""}, "no time"),
]


@pytest.mark.parametrize(("line", "options", "says"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, line: str, options, says: str) -> None:
    with pytest.raises(errors.InputError, match="line 202") as caught:
        read(file_of(tmp_path, [*lines_of(), line]), **options)
    assert says in str(caught.value)
    assert caught.value.remedy


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    lines = [f"{line[:-1]}0" for line in lines_of()]
    with pytest.raises(errors.InputError, match="never a click"):
        read(file_of(tmp_path, lines))


def test_a_part_without_clicks_is_refused(tmp_path: Path) -> None:
    lines = [f"{line[:-1]}{int(row == 0)}" for row, line in enumerate(lines_of())]
    with pytest.raises(errors.InputError, match="1 clicks in"):
        read(file_of(tmp_path, lines))


@pytest.mark.parametrize("name", ["target", "categories", "drop"])
def test_a_column_that_is_not_there_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InputError, match="mnoth"):
        read(file_of(tmp_path, lines_of()), **{name: "mnoth"})


def test_a_missing_target_is_told_with_the_columns(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="no target is named") as caught:
        read(file_of(tmp_path, lines_of()), target="")
    assert "month" in str(caught.value.remedy)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="twice"):
        read(file_of(tmp_path, lines_of(), "x,x,user,when,y"))


def test_mixed_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, ["0.1,Février,1,1,0", *lines_of()])
    with path.open("ab") as file:
        file.write("0.1,Février,1,1,1\n".encode("cp1252"))
    with pytest.raises(errors.InputError, match="line 203"):
        read(path)


def test_another_encoding_is_read_where_it_is_given(tmp_path: Path) -> None:
    path = file_of(tmp_path, [])
    text = "\n".join(["x,month,user,when,y", "0.1,Février,1,1,0", *lines_of()])
    path.write_bytes(text.encode("cp1252"))
    data, _ = read(path, encoding="cp1252")
    assert data.table.inputs.categories[0, 0] == "Février"


def test_a_target_by_value_and_by_threshold(tmp_path: Path) -> None:
    words = [f"{line[:-1]}{'buy' if line[-1] == '1' else 'leave'}" for line in lines_of()]
    data, _ = read(file_of(tmp_path, words), positive="buy")
    assert data.table.target.sum() == 100
    stars = [f"{line[:-1]}{3.5 + int(line[-1])}" for line in lines_of()]
    data, _ = read(file_of(tmp_path, stars), click_from="4")
    assert data.table.target.sum() == 100


def test_rows_without_a_target_are_dropped_where_that_is_asked(tmp_path: Path) -> None:
    lines = [*lines_of(), "0.5,Feb,1,1,NA", "0.5,Feb,1,1, ", *lines_of(4)]
    data, card = read(file_of(tmp_path, lines), unlabeled="drop")
    assert len(data.table) == 204
    assert "2 rows without y were left out" in card.warnings


def test_what_means_missing_elsewhere_may_be_a_target(tmp_path: Path) -> None:
    words = [f"{line[:-1]}{'none' if line[-1] == '1' else 'some'}" for line in lines_of()]
    data, _ = read(file_of(tmp_path, words), positive="none")
    assert data.table.target.sum() == 100


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("Y", "N"), ("TRUE", "FALSE"), ("t", "f")])
def test_a_target_in_words(tmp_path: Path, yes: str, no: str) -> None:
    words = [f"{line[:-1]}{yes if line[-1] == '1' else no}" for line in lines_of()]
    data, _ = read(file_of(tmp_path, words))
    assert data.table.target.sum() == 100


def test_values_of_a_target_that_are_no_answer_are_told(tmp_path: Path) -> None:
    words = [f"{line[:-1]}{'ESR > 20' if line[-1] == '1' else 'ESR < 20'}" for line in lines_of()]
    with pytest.raises(errors.InputError) as caught:
        read(file_of(tmp_path, words))
    assert "of 'ESR < 20', 'ESR > 20', as by --set 'positive=ESR < 20'" in str(caught.value.remedy)


def test_a_text_that_could_be_a_number_is_a_text_among_texts(tmp_path: Path) -> None:
    lines = [f"Infinity,{line}" for line in lines_of(4)]
    lines += [f"film {row},{line}" for row, line in enumerate(lines_of())]
    data, _ = read(file_of(tmp_path, lines, "title,x,month,user,when,y"))
    assert data.table.inputs.columns.categories == ("title", "month")


def test_names_with_spaces_can_be_pasted(tmp_path: Path) -> None:
    lines = [f"{row},{line}" for row, line in enumerate(lines_of())]
    path = file_of(tmp_path, lines, "sample number,x,month,user id,when,y")
    told = " ".join(read(path)[1].notes)
    assert "--set 'drop=sample number'" in told
    assert "--set 'group=user id'" in told


@pytest.mark.parametrize("first", ["2012/01/01", "2012-01-01", "2012-01-01T08:00:00+01:00"])
def test_dates_with_the_year_first_are_times(tmp_path: Path, first: str) -> None:
    lines = [line.replace(f",{row},", f",{2_000_000_000 + row},", 1)
             for row, line in enumerate(lines_of())]  # fmt: skip
    lines.append(f"0.5,Feb,1,{first},0")
    data, _ = read(file_of(tmp_path, lines), split="time", time="when", drop="")
    assert 200 in data.rows_of("train")


def test_columns_that_name_rows_or_their_owners_are_told(tmp_path: Path) -> None:
    lines = [f"{row},{line}" for row, line in enumerate(lines_of())]
    path = file_of(tmp_path, lines, "seqno,x,month,user,when,y")
    told = " ".join(read(path)[1].notes)
    assert "--set drop=seqno" in told
    assert "--set split=group --set group=user" in told
    told = " ".join(read(path, drop="when,seqno", split="group", group="user")[1].notes)
    assert "--set drop" not in told
    assert "split=group" not in told


def test_a_column_that_tells_the_target_is_warned_of(tmp_path: Path) -> None:
    lines = [f"{line},{'yes' if line[-1] == '1' else 'no'}" for line in lines_of()]
    _, card = read(file_of(tmp_path, lines, "x,month,user,when,y,paid"))
    assert any("column paid alone tells the target" in one for one in card.warnings)
    assert not any("column x" in one for one in card.warnings)


def test_equal_rows_on_both_sides_are_warned_of(tmp_path: Path) -> None:
    lines = lines_of(100)
    _, card = read(file_of(tmp_path, [*lines, *lines]))
    assert any("content that is in train too" in one for one in card.warnings)
    _, clean = read(file_of(tmp_path, lines_of()), categories="user")
    assert clean.warnings == ()


def test_groups_on_both_sides_are_warned_of_and_kept_whole_where_asked(tmp_path: Path) -> None:
    path = file_of(tmp_path, lines_of(400))
    _, card = read(path, group="user")
    assert any("group (user)" in one for one in card.warnings)
    data, whole = read(path, group="user", split="group")
    assert not any("group (user)" in one for one in whole.warnings)
    assert "user" not in data.table.inputs.columns.numbers


def test_a_split_by_time_tests_on_the_latest(tmp_path: Path) -> None:
    lines = lines_of()
    np.random.default_rng(1).shuffle(lines)
    data, _ = read(file_of(tmp_path, lines), split="time", time="when", drop="")
    when = np.array([int(line.split(",")[3]) for line in lines])
    assert when[data.rows_of("test")].min() > when[data.rows_of("validation")].max()
    assert when[data.rows_of("validation")].min() > when[data.rows_of("train")].max()
    assert "when" not in data.table.inputs.columns.numbers


def test_a_split_within_groups_tests_on_the_latest_of_each(tmp_path: Path) -> None:
    lines = [
        f"0.5,Feb,{row % 10},{row},{(row // 10) % 2}"
        for row in np.random.default_rng(1).permutation(200)
    ]
    options = {"split": "time_in_group", "time": "when", "group": "user", "drop": ""}
    data, _ = read(file_of(tmp_path, lines), **options)
    user, when = (np.array([int(line.split(",")[at]) for line in lines]) for at in (2, 3))
    for one in range(10):
        of_user = user == one
        test = of_user & (data.part == 2)
        assert test.sum() == 4
        assert when[test].min() > when[of_user & (data.part < 2)].max()


def test_times_may_be_dates(tmp_path: Path) -> None:
    lines = [f"0.5,Feb,1,2026-01-{1 + row % 28:02d}T00:00:00,{row % 2}" for row in range(100)]
    data, _ = read(file_of(tmp_path, lines), split="time", time="when", drop="")
    assert len(data.rows_of("test")) == 20


def test_equal_data_have_an_equal_split_whatever_their_order(tmp_path: Path) -> None:
    lines = lines_of()
    _, one = read(file_of(tmp_path, lines))
    _, other = read(file_of(tmp_path, lines[::-1]))
    _, third = read(file_of(tmp_path, lines), split_seed=1)
    assert one.split_hash == other.split_hash != third.split_hash


def test_data_come_back_as_they_were_written(tmp_path: Path) -> None:
    data, _ = read(file_of(tmp_path, lines_of()))
    write_data(data, tmp_path)
    found = load_data(tmp_path)
    np.testing.assert_array_equal(found.part, data.part)
    np.testing.assert_array_equal(found.table.inputs.categories, data.table.inputs.categories)
    assert (found.ids, found.table.inputs.columns) == (data.ids, data.table.inputs.columns)
    (tmp_path / "rows.npz").write_bytes(b"damaged")
    with pytest.raises(errors.ArtifactError, match=r"rows\.npz"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"test": 0.0}, {"test": 0.95}, {"models": "fm,gru"}, {"models": ""}, {"hidden": "64,x"},
        {"hidden": "0"}, {"folds": 1}, {"split": "time"}, {"split": "group"}, {"rate": 0.0},
        {"dropout": 1.0}, {"epochs": 0}, {"split_seed": -1}, {"models": "fm,fm"},
        {"click_from": "four"},
    ],
)  # fmt: skip
def test_options_that_can_not_be_are_refused(options) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        Options(target="y", **options)
    assert caught.value.remedy
