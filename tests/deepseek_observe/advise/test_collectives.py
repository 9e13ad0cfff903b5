"""Logs of nccl-tests, bandwidths, and the law of times."""

import numpy as np
import pytest
from advised import DATA

from deepseek_core import errors
from deepseek_observe.advise.collectives.model import (
    bus_bytes_per_s,
    fit,
    left_out_errors,
    of_table,
    wire_bytes_per_s,
)
from deepseek_observe.advise.collectives.table import parse_tables

LOGS = sorted((DATA / "logs").iterdir())
HEAD = """# nccl-tests version 2.17.1 nccl-headers=22705 nccl-library=22705
# Collective test starting: all_gather_perf
# nThread 1 nGpus 1 minBytes 8 maxBytes 8192 step: 2(factor) warmup iters: 5 iters: 20 validation: 1
#  Rank  0 Group  0 Pid   1887 on   worker-1 device  0 [0x8d] NVIDIA H100 80GB HBM3
#  Rank  1 Group  0 Pid   1888 on   worker-0 device  1 [0x91] NVIDIA H100 80GB HBM3
#                                                              out-of-place                in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time
"""
ROWS = """        8192          2048     float     sum      -1    35.15    0.23    0.23      0    30.33    0.27    0.27    N/A
       16384          4096     float     sum      -1    31.67    0.52    0.52    N/A    30.75    0.53    0.53    N/A
host:12:34 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via NET/IB/0
       32768          8192     float    none      -1    39.56    0.83    0.83      0    37.44    0.88    0.88      0
       65536         16384     float     sum      -1    67.93    0.96    0.96      0    64.71    1.01    1.01      0
"""  # noqa: E501


def parse_table(text, name):
    (found,) = parse_tables(text, name)
    return found


def table(path):
    return parse_table(path.read_text(), path.name)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_a_size_left_out_is_met_within_6_percent(path):
    assert len(LOGS) == 3
    found = table(path)
    assert found.collective == "all_reduce"
    assert np.median(left_out_errors(found)) <= 0.06


def test_the_law_alone_is_no_better():
    """What is measured beside a size says more of it than three terms over nine decades."""
    for path in LOGS:
        both = [np.median(left_out_errors(table(path), law=law)) for law in (False, True)]
        assert both[0] < both[1]


def test_a_log_of_mpirun_with_tags():
    found = table(DATA / "logs" / "h100x16_2node_efa_mpirun.log")
    assert (found.ranks, found.wrong, found.faults) == (16, 0, ())  # by busbw / algbw
    assert len(found.points) == 30  # those of 0 bytes are none
    assert found.points[-1].seconds == pytest.approx(9197.5e-6)


@pytest.mark.parametrize("change", [
    lambda text: text,
    lambda text: "\n".join(f"[1,0]<stdout>:{line}" for line in text.splitlines()),
    lambda text: "\n".join(f"0: {line}" for line in text.splitlines()),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: "\x1b[32m" + text + "\x1b[0m",
], ids=["plain", "mpirun", "srun -l", "windows", "colored"])  # fmt: skip
def test_a_log_as_launchers_print_it(change):
    found = parse_table(change(HEAD + ROWS), "x.log")
    assert (found.collective, found.ranks, found.nodes) == ("all_gather", 2, 2)
    assert [point.nbytes for point in found.points] == [8192, 16384, 32768, 65536]
    assert found.points[0].seconds == pytest.approx(35.15e-6)


def test_older_logs_have_no_root_and_an_error():
    found = parse_table(
        "/opt/build/reduce_scatter_perf -b 8\n"
        "  1048576   262144  float  sum  37.89  27.67  48.43  5e-07   37.1  28.2  49.4  5e-07\n"
        "  2097152   524288  float  sum  55.39  37.86  66.26  5e-07   55.0  38.1  66.7  5e-07\n",
        "old.log",
    )  # fmt: skip
    assert found.collective == "reduce_scatter"
    assert [point.seconds for point in found.points] == pytest.approx([37.89e-6, 55.39e-6])


def test_where_one_side_was_not_run_the_other_counts():
    found = parse_table(
        "# Collective test starting: alltoall_perf\n"
        "  1024  256  float  none  -1  N/A  N/A  N/A  N/A  20.0  0.05  0.05  0\n",
        "a2a.log",
    )
    assert found.points[0].seconds == pytest.approx(20e-6)


def test_wrong_results_and_faults_are_told():
    text = HEAD + ROWS.replace("     0    37.44", "     3    37.44") + (
        "worker-1: Test NCCL failure common.cu:303 'remote process exited'\n"
        "# Out of bounds values : 3 FAILED\n"
    )  # fmt: skip
    found = parse_table(text, "x.log")
    assert found.wrong == 3
    assert "Test NCCL failure common.cu:303" in found.faults[0]


def test_processes_that_ran_alone_are_told():
    twice = HEAD.replace("Rank  1", "Rank  0") + ROWS + ROWS
    found = parse_table(twice, "x.log")
    assert "without MPI=1" in found.notes[0]
    assert len(found.points) == 4


def test_several_collectives_in_one_log_are_several():
    first = (
        HEAD
        + ROWS
        + "# Out of bounds values : 0 OK\n# Collective test concluded: all_gather_perf\n"
    )
    second = (HEAD + ROWS).replace("all_gather", "all_reduce")
    lost = "+ ./alltoall_perf -b 8\nhost: Test NCCL failure common.cu:303 'remote process exited'\n"
    found = parse_tables(first + second + lost, "all.log")
    assert [one.collective for one in found] == ["all_gather", "all_reduce"]
    assert [len(one.points) for one in found] == [4, 4]
    assert [len(one.faults) for one in found] == [0, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no figures"),
        (HEAD, "no figures"),
        (
            HEAD + "host: Test CUDA failure common.cu:1030 'invalid device ordinal'",
            "invalid device",
        ),
        ("hello world\n1 2 3\n", "no figures"),
    ],
)
def test_a_log_without_figures_says_why(text, told):
    with pytest.raises(errors.ArtifactError, match=told):
        parse_table(text, "x.log")


def test_the_fit_finds_the_law_that_made_the_times():
    sizes = np.logspace(1, 9, 20)
    model = fit(sizes, 2e-5 + 3e-9 * np.sqrt(sizes) + 4e-12 * sizes)
    assert (model.a, model.b, model.c) == pytest.approx((2e-5, 3e-9, 4e-12), rel=1e-6)
    assert model.seconds(1e10) == pytest.approx(model.law(1e10), rel=1e-6)


def test_no_term_is_negative_and_none_beats_the_active_sets():
    rng = np.random.default_rng(5)
    for _ in range(200):
        sizes = np.sort(rng.uniform(1, 1e9, 8))
        times = rng.uniform(1e-6, 1e-3, 8)
        model = fit(sizes, times)
        x = np.array([model.a, model.b, model.c])
        assert (x >= 0).all()
        columns = np.stack([np.ones(8), np.sqrt(sizes), sizes], axis=1) / times[:, None]
        slope = columns.T @ (columns @ x - 1) / np.linalg.norm(columns, axis=0)
        # Karush, Kuhn and Tucker: no term that is 0 would help, and the others are at their best.
        assert (slope > -1e-6).all()
        assert np.abs(slope[x > 0]).max() < 1e-6


def test_the_model_meets_what_was_measured_and_never_falls_to_nothing():
    found = table(LOGS[0])
    model = of_table(found)
    for point in found.points:
        assert model.seconds(point.nbytes) == pytest.approx(point.seconds, rel=1e-9)
    assert model.seconds(1) > 0
    with pytest.raises(errors.InputError, match="0 bytes"):
        model.seconds(0)


@pytest.mark.parametrize(("sizes", "times"), [
    ([1, 2], [1, 1]), ([1, 1, 1], [1, 1, 1]), ([1, 2, 3], [1, 0, 1]), ([1, 2, 3], [1, np.nan, 1]),
])  # fmt: skip
def test_too_little_for_a_law_is_told(sizes, times):
    with pytest.raises(errors.InputError):
        fit(np.array(sizes, dtype=float), np.array(times, dtype=float))


def test_bus_bandwidth_is_that_of_nccl_tests():
    for name, ranks in (("a100x8_1node_allreduce_a.csv", 8), ("h200x8_1node_allreduce.csv", 8)):
        text = (DATA / "logs" / name).read_text().splitlines()
        for line in text[-10:]:
            nbytes, micros, bus = map(float, line.split(","))
            ours = bus_bytes_per_s("all_reduce", ranks, nbytes, micros * 1e-6) / 1e9
            assert ours == pytest.approx(bus, rel=2e-3)


def test_what_has_no_bus_bandwidth():
    with pytest.raises(errors.InputError, match="no bus bandwidth"):
        bus_bytes_per_s("magic", 8, 1, 1)
    with pytest.raises(errors.InputError, match="1 rank"):
        bus_bytes_per_s("all_reduce", 1, 1, 1)
    assert wire_bytes_per_s(100.0, 8, 1) == 0
    assert wire_bytes_per_s(310.0, 32, 4) == pytest.approx(30.0)
