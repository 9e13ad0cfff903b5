"""Text and CSV files are read strictly: faults are named with their line, nothing is guessed."""

import codecs
import gzip
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import console, errors
from deepseek_core.cli.text_files import read_text


@pytest.fixture
def file(tmp_path):
    """Write bytes or text to a file and give its path."""

    def written(content):
        path = tmp_path / "data.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_the_encoding(file, encoding):
    assert read_text(file("größe\n字".encode(encoding))) == "größe\n字"


def test_bytes_of_another_encoding_are_named_with_their_line(file):
    with pytest.raises(errors.InputError, match=r"data.csv, line 3: byte 0xfc is not utf-8"):
        read_text(file(b"a\nb\nz\xfcrich\n"))
    assert read_text(file(b"z\xfcrich"), encoding="cp1252") == "zürich"


def test_mixed_encodings_are_refused_at_the_first_line_that_is_another(file):
    mixed = "über\n".encode() + "über\n".encode("cp1252")
    with pytest.raises(errors.InputError, match="line 2: byte 0xfc"):
        read_text(file(mixed))


def test_line_ends_become_line_feeds_and_separators_stay(file):
    assert read_text(file("one\u2028still one\r\ntwo\rthree")) == "one\u2028still one\ntwo\nthree"


def test_what_is_no_text_file_is_refused(file, tmp_path):
    with pytest.raises(errors.InputError, match="line 2: a NUL character"):
        read_text(file(b"a\nb\0"))
    with pytest.raises(errors.InputError, match="can't be read: Is a directory"):
        read_text(tmp_path)
    with pytest.raises(errors.InputError, match="can't be read: No such file"):
        read_text(tmp_path / "no")
    with pytest.raises(errors.InputError, match="has more than 4 bytes"):
        read_text(file("12345"), most_nbytes=4)
    with pytest.raises(errors.ConfigError, match="no encoding 'utf-9'"):
        read_text(file("a"), encoding="utf-9")


def test_a_gzip_file_is_read_as_what_it_holds(file):
    packed = gzip.compress("a,b\n1,ü\n".encode())
    assert console.read_csv(file(packed)).column("b") == ["ü"]
    with pytest.raises(errors.InputError, match="has more than 4 bytes"):
        read_text(file(gzip.compress(bytes(1_000_000))), most_nbytes=4)
    for damaged in (packed[:-6], packed[:-5] + b"\x00" * 5, b"\x1f\x8bno"):
        with pytest.raises(errors.InputError, match="is a damaged gzip file"):
            read_text(file(damaged))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1\x15\x04", "is a Parquet file, not text"),
        (b"PK\x03\x04\x14\x00", r"as spreadsheets \(.xlsx\) are, not text"),
        (gzip.compress(b"\x89HDF\r\n"), "is an HDF5 file, not text"),
        (b'[\n {"a": 1, "b": 2}]', "is JSON, not CSV"),
        (b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', "is JSON, not CSV"),
    ],
)
def test_a_file_of_another_kind_is_told_as_what_it_is(file, content, said):
    with pytest.raises(errors.InputError, match=said):
        console.read_csv(file(content))


@pytest.mark.parametrize("name", ["PAR1", "ARROW1", "BZh", "PK", "[x]", "{x}"])
def test_a_column_may_be_called_as_other_files_begin(file, name):
    assert console.read_csv(file(f"{name},b\n1,2\n")).column(name) == ["1"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_as_a_file_is(pack, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(pack(b"a,b\n1,2\n"),))
    writer.start()
    assert console.read_csv(tmp_path / "pipe").column("b") == ["2"]
    writer.join(20)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_of_the_header(file, delimiter):
    table = console.read_csv(file(f"a{delimiter}b\n1{delimiter}2\n3{delimiter}4\n"))
    assert dict(table.columns) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert len(table) == 2


def test_lines_are_those_of_the_file_though_cells_have_line_ends(file):
    table = console.read_csv(file('a,b\n"one\ntwo",2\n\n3,4\n'))
    assert table.lines == [2, 5]
    assert table.column("a") == ["one\ntwo", "3"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n", "has a header and no row"),
        ("a,b\n1,2\n1\n", "line 3: 1 cells, the header has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 cells, the header has 2"),
        ("a,a\n1,2\n", "names 'a' twice"),
        (",\n1,2\n", "has no header"),
        ("a,\n1,\n3,x\n", "line 3: 'x' is in column 2, which has no name"),
        ('a,b\n1,"2\n3,4\n', "line 2"),
    ],
)
def test_a_file_that_is_no_table_is_refused(file, text, said):
    with pytest.raises(errors.InputError, match=said):
        console.read_csv(file(text))


def test_a_column_that_is_missing_names_the_nearest(file):
    path = file("clicked,age\n1,2\n")
    with pytest.raises(errors.InputError, match="did you mean 'clicked'"):
        console.read_csv(path, needs=["click"])
    with pytest.raises(errors.InputError, match="it has: clicked, age"):
        console.read_csv(path).column("zzz")


@pytest.mark.parametrize(
    "text",
    [',a,b\n0,1,2\n1,3,4\n', '"","a","b"\n"x",1,2\n"y",3,4\n', ";a;b\n7;1;2\n9;3;4\n"],
    ids=["pandas", "R", "semicolons"],
)  # fmt: skip
def test_row_numbers_are_left_out(file, text):
    table = console.read_csv(file(text))
    assert dict(table.columns) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert table.is_indexed


def test_columns_that_a_spreadsheet_left_empty_are_left_out(file):
    table = console.read_csv(file("a, b,,\n1,2,,\n3,4, ,\n"))
    assert dict(table.columns) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert not table.is_indexed


def test_rows_that_are_taken_keep_their_lines(file):
    table = console.read_csv(file("a\n1\n\n3\n4\n")).take([1, 2])
    assert (table.column("a"), table.lines, len(table)) == (["3", "4"], [4, 5], 2)


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\0\r", codec="utf-8")),
                         min_size=2, max_size=2), min_size=1, max_size=5))  # fmt: skip
def test_what_csv_writes_comes_back(tmp_path_factory, rows):
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["a", "b"], *rows])
    table = console.read_csv(path)
    found = [list(row) for row in zip(table.column("a"), table.column("b"), strict=True)]
    assert found == [[cell.replace("\r\n", "\n") for cell in row] for row in rows]


def test_a_mark_in_the_middle_is_text(file):
    assert read_text(file(b"a" + codecs.BOM_UTF8)) == "a\ufeff"
