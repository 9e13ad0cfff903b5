"""Exports of Nsight Systems: one of its own, and databases of other versions made here."""

import lzma
import sqlite3

import pytest
from timelines import TRACES

from deepseek_core import errors
from deepseek_observe.profile.profile import profile
from deepseek_observe.reading.reading import read_trace
from deepseek_observe.timeline.classes import HOST, WORK, Class


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "mock.sqlite"
    path.write_bytes(lzma.decompress((TRACES / "nsys_mock.sqlite.xz").read_bytes()))
    return path


def test_rows_are_those_of_the_tables(export):
    found = read_trace(export)
    db = sqlite3.connect(export)
    kernels = db.execute("select start, end from CUPTI_ACTIVITY_KIND_KERNEL order by start")
    mine = found.where(Class.COMPUTE)
    assert [
        (start + found.origin_ns, end + found.origin_ns)
        for start, end in zip(found.starts[mine], found.ends[mine], strict=True)
    ] == kernels.fetchall()
    (copy,) = found.where(Class.COPY)
    assert found.text(copy) == "Memcpy DtoH (Device -> Pinned)"
    assert found.nbytes[copy] == 4
    assert (found.launches[found.where(*WORK)] >= 0).all()
    assert found.facts["schema"] == "3.24.14"
    assert profile(found).verdict == "idle"


def made(path, *, columns="start, end, deviceId, streamId, correlationId, globalPid", more=()):
    """A small export; `more` are statements."""
    db = sqlite3.connect(path)
    db.executescript(
        f"""
        create table StringIds (id integer, value text);
        insert into StringIds values (1, 'gemm'), (2, 'cudaLaunchKernel_v7000'),
            (3, 'ncclDevKernel_AllReduce'), (4, 'forward');
        create table CUPTI_ACTIVITY_KIND_KERNEL ({columns}, shortName);
        create table CUPTI_ACTIVITY_KIND_RUNTIME (start, end, globalTid, correlationId, nameId);
        """
    )
    for statement in more:
        db.execute(statement)
    db.commit()
    db.close()
    return path


PROCESS = 5 << 24


def test_processes_that_count_alike_are_told_apart(tmp_path):
    """Each has a correlation 1; the launch of a work is that of its own process."""
    found = read_trace(
        made(
            tmp_path / "x.sqlite",
            more=[
                *(f"insert into CUPTI_ACTIVITY_KIND_KERNEL values (100, 200, {n}, 7, 1, "
                  f"{PROCESS * (n + 1)}, 1)" for n in (0, 1)),
                *(f"insert into CUPTI_ACTIVITY_KIND_RUNTIME values ({10 + n}, 20, "
                  f"{PROCESS * (n + 1) + 3}, 1, 2)" for n in (0, 1)),
            ],
        )
    )  # fmt: skip
    works = found.where(Class.COMPUTE)
    calls = found.launches[works]
    assert found.devices[works].tolist() == [0, 1]
    assert (found.starts[calls] + found.origin_ns).tolist() == [10, 11]


def test_columns_that_a_version_lacks_and_ranges_of_nvtx(tmp_path):
    found = read_trace(
        made(
            tmp_path / "x.sqlite",
            columns="start, end, deviceId, streamId, correlationId",
            more=[
                "insert into CUPTI_ACTIVITY_KIND_KERNEL values (100, 200, 0, 7, 1, 3)",
                "insert into CUPTI_ACTIVITY_KIND_KERNEL values (null, 200, 0, 7, 1, 3)",
                "create table NVTX_EVENTS (start, end, eventType, text, textId, globalTid)",
                "insert into NVTX_EVENTS values (1, 9, 59, 'aten::mm, op_id = 7', null, 4)",
                "insert into NVTX_EVENTS values (1, 8, 59, null, 4, 4)",
                "insert into NVTX_EVENTS values (1, null, 34, 'a mark', null, 4)",
            ],
        )
    )
    assert [found.text(row) for row in found.where(Class.COMMUNICATION)] == [
        "ncclDevKernel_AllReduce"
    ]
    ranges = found.where(Class.RANGE)
    assert [found.text(row) for row in ranges] == ["aten::mm", "forward"]
    assert (found.devices[ranges] == HOST).all()
    assert found.left_out["without a time"] == 1


def test_other_databases_are_refused_by_name(tmp_path, export):
    other = tmp_path / "other.sqlite"
    db = sqlite3.connect(other)
    db.execute("create table t (a)")
    db.commit()
    with pytest.raises(errors.InputError, match="no export of Nsight Systems"):
        read_trace(other)
    made(tmp_path / "x.sqlite", columns="start, end, deviceId")
    with pytest.raises(errors.InputError, match="has no column streamId"):
        read_trace(tmp_path / "x.sqlite")
    export.write_bytes(export.read_bytes()[:20_000])
    with pytest.raises(errors.InputError, match="can't be read as a database"):
        read_trace(export)
