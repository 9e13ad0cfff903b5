"""Traces of PyTorch as they are found: large, packed, cut short, of strange forms."""

import gzip
import io
import json
import random

import msgspec
import numpy as np
import pytest
from timelines import TRACES

from deepseek_core import errors
from deepseek_observe.profile.profile import profile
from deepseek_observe.reading.events import events, nanoseconds
from deepseek_observe.reading.exchanges import bus_nbytes
from deepseek_observe.reading.kineto import read_kineto
from deepseek_observe.reading.reading import read_trace
from deepseek_observe.timeline.classes import HOST, WORK, Class

KERNEL = {"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 5, "dur": 2,
          "args": {"device": 0, "stream": 7, "correlation": 3}}  # fmt: skip
CALL = {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 9, "tid": 9, "ts": 1,
        "dur": 1, "args": {"correlation": 3}}  # fmt: skip


def written(path, *found, around=None, text=None):
    path.write_text(text or json.dumps({**(around or {}), "traceEvents": list(found)}))
    return path


def test_rows_are_those_of_the_file():
    """Counted beside json, which reads all of it."""
    path = TRACES / "128rank_sampled_rank0.json.gz"
    every = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    found = read_kineto(path)
    works = [e for e in every if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    mine = found.where(*WORK)
    assert len(mine) == len(works) == 1204
    assert found.durations[mine].sum() == round(sum(e["dur"] for e in works) * 1000)
    wanted = sorted(e["ts"] * 1000 for e in works)
    assert (found.starts[mine] + found.origin_ns).tolist() == wanted
    assert (found.launches[mine] >= 0).all()
    calls = found.launches[mine]
    assert (found.correlations[calls] == found.correlations[mine]).all()
    assert (found.devices[calls] == HOST).all()
    assert found.facts["rank"] == 0
    assert found.facts["world_size"] == 128


@pytest.mark.parametrize("step", [7, 64, 1000, 1 << 20])
@pytest.mark.parametrize("layout", [None, 1, (",", ":")], ids=["plain", "indented", "compact"])
def test_pieces_are_cut_between_events_alone(step, layout):
    """Arguments hold lists of objects, and texts hold what looks like an end of an event."""
    strange = {**KERNEL, "name": 'x }, {"ph', "args": {"grid": [{"a": {}}, {"b": 1}], "stream": 7}}
    given = [KERNEL, strange, CALL] * 5
    options = {"indent": 1} if layout == 1 else {"separators": layout}
    text = json.dumps({"a": [{}, {}], "traceEvents": given, "z": [{}, {}]}, **options).encode()
    told = []
    found = [e for piece in events(io.BytesIO(text), "t", told.append, step=step) for e in piece]
    assert [event.name for event in found] == [event["name"] for event in given]
    assert len(told) == 2


def test_times_that_count_from_1970_are_exact(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(
        '{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, '
        '"ts": 1712195495519689.813, "dur": 63.007, "args": {"stream": 7}}]}'
    )
    found = read_kineto(path)
    assert found.origin_ns == 1712195495519689813
    assert found.durations.tolist() == [63007]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("5", 5000), ("5.1", 5100), ("5.25", 5250), ("5.0009", 5000), ("1712195495519689.813",
        1712195495519689813), ("-1.5", -1500), ("-0.001", -1), ("1.5e3", 1_500_000), ("5E-1", 500),
        ('"7.25"', 7250), ('"x"', None), ("null", None), ("", None), ("[1]", None), ("true", None),
        ("1e300", None), ("4611686018427388", None), ('"NaN"', None), ('"Infinity"', None),
    ],
)  # fmt: skip
def test_a_time_is_read_to_the_last_nanosecond(text, wanted):
    assert nanoseconds(msgspec.Raw(text.encode())) == wanted


@pytest.mark.parametrize(
    ("change", "stream", "device"),
    [
        ({"args": {"stream": "7", "device": 1}}, 7, 1),
        ({"args": {"stream": "0x1f"}, "pid": 2}, 31, 2),
        ({"args": {"stream": 7.0}}, 7, 0),
        ({"args": {"stream": True}, "tid": 4}, 4, 0),
        ({"args": [1, 2], "tid": 4}, 4, 0),
        ({"args": None, "tid": 4}, 4, 0),
        ({"ts": "5", "dur": "2.5"}, 7, 0),
    ],
)
def test_strange_forms_of_numbers_are_read(tmp_path, change, stream, device):
    found = read_kineto(written(tmp_path / "t.json", {**KERNEL, **change}, CALL))
    (row,) = found.where(Class.COMPUTE)
    assert (found.streams[row], found.devices[row]) == (stream, device)


def test_streams_that_have_names_are_told_apart(tmp_path):
    found = read_kineto(
        written(
            tmp_path / "t.json",
            *({**KERNEL, "args": {"stream": name}} for name in ("default", "copy", "default")),
        )
    )
    first, second, third = found.streams.tolist()
    assert first == third != second


def test_what_has_no_time_is_left_out_and_counted(tmp_path):
    bad = [
        {**KERNEL, **change} for change in ({"dur": None}, {"dur": -1}, {"ts": 1e300}, {"ts": "x"})
    ]
    found = read_kineto(written(tmp_path / "t.json", KERNEL, *bad, 7, None))
    assert len(found) == 1
    assert found.left_out["without a time"] == 4


@pytest.mark.parametrize("packed", ["gz", "xz", "zst"])
def test_packed_files_are_told_by_their_bytes(tmp_path, packed):
    import lzma

    text = json.dumps({"traceEvents": [KERNEL, CALL]}).encode()
    path = tmp_path / "trace"
    if packed == "zst":
        zstandard = pytest.importorskip("zstandard")
        path.write_bytes(zstandard.ZstdCompressor().compress(text))
    else:
        path.write_bytes((gzip if packed == "gz" else lzma).compress(text))
    assert len(read_trace(path)) == 2
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(errors.InputError):
        read_trace(path)


def test_a_list_of_events_without_its_end_is_a_trace(tmp_path):
    text = json.dumps([KERNEL, CALL])[:-1] + ","
    assert len(read_trace(written(tmp_path / "t.json", text=text))) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no list `traceEvents`"),
        ("{}", "no list `traceEvents`"),
        ("hello", "no list `traceEvents`"),
        ('{"traceEvents": [', "is damaged"),
        ('{"traceEvents": [{"ph": "X"', "is damaged"),
        ('{"traceEvents": []}', "no event that took time"),
        ('{"traceEvents": [' + "[" * 100_000, "is damaged"),
    ],
)
def test_what_is_no_trace_is_refused_by_name(tmp_path, text, told):
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(errors.InputError, match=told):
        read_trace(path)


def test_files_that_can_not_be_read(tmp_path):
    with pytest.raises(errors.InputError, match="can't be read"):
        read_trace(tmp_path / "none.json")
    with pytest.raises(errors.InputError, match="can't be read"):
        read_trace(tmp_path)
    report = tmp_path / "r.nsys-rep"
    report.write_bytes(b"x")
    with pytest.raises(errors.InputError, match="Nsight Systems alone"):
        read_trace(report)


def test_200_damaged_traces_give_an_answer_or_a_named_error(tmp_path):
    """Bytes and values are changed, cut out and doubled in real traces."""
    draw = random.Random(3)
    texts = [
        gzip.decompress((TRACES / name).read_bytes())
        for name in ("mi250_rocm62.json.gz", "a100_triton.json.gz", "cpu_only_gloo_rank34.json.gz")
    ]
    strange = [None, -1, "", "7", 1e300, [], {}, True, 2**70, "\u202e", 0]
    answers = 0
    for number in range(200):
        path = tmp_path / "t.json"
        text = bytearray(draw.choice(texts))
        if number % 2:
            for _ in range(draw.randint(1, 6)):
                place = draw.randrange(len(text))
                end = place + draw.randint(0, 40)
                text[place:end] = draw.choice(
                    [b"", bytes(text[place:end]) * 2, bytes([draw.randrange(256)])]
                )
            path.write_bytes(bytes(text))
        else:
            trace = json.loads(text)
            for _ in range(30):
                event = draw.choice(trace["traceEvents"])
                where = event.get("args") if draw.random() < 0.4 else event
                where = where if isinstance(where, dict) else event
                where[draw.choice([*where, "ts", "dur", "cat"])] = draw.choice(strange)
            path.write_text(json.dumps(trace))
        try:
            told = profile(read_trace(path))
        except errors.DeepSeekError:
            continue
        answers += 1
        for device in told.devices:
            shares = device.shares
            assert shares.span_ns == (
                shares.compute_ns + shares.exposed_communication_ns
                + shares.exposed_copy_ns + shares.idle_ns
            )  # fmt: skip
            assert sum(device.idle.values()) == shares.idle_ns
    assert answers > 60


def test_a_trace_of_a_cpu_has_its_operations():
    found = read_kineto(TRACES / "cpu_only_gloo_rank34.json.gz")
    assert not found.device_numbers
    assert len(found.where(Class.OPERATION)) == 4
    told = profile(found)
    assert told.verdict == "communication"
    assert told.devices[0].name == "CPU"
    assert np.isclose(told.devices[0].shares.exposed_communication_ns / 1e6, 1103, atol=1)


@pytest.mark.parametrize(
    ("collective", "dtype", "numbers", "ranks", "wanted"),
    [
        ("allreduce", "Float", 1000, 2, 4000),
        ("allreduce", "BFloat16", 1000, 8, 3500),
        ("_allgather_base", "Half", 800, 8, 1400),
        ("reduce_scatter", "Float", 800, 8, 2800),
        ("all_to_allv", "Byte", 800, 4, 600),
        ("broadcast", "Long", 10, 8, 80),
        ("send", "Float", 10, 2, 40),
        ("allreduce", "QUInt4x2", 1000, 2, -1),
        ("allreduce", "Float", -1, 2, -1),
        ("allreduce", "Float", 1000, 0, -1),
    ],
)
def test_bytes_on_the_bus_are_those_of_nccl_tests(collective, dtype, numbers, ranks, wanted):
    assert bus_nbytes(collective, dtype, numbers, ranks) == wanted


def test_an_exchange_has_its_bus_bandwidth(tmp_path):
    """Of 8 ranks, 1 MB in 1 ms: each sends 1.75 MB."""
    said = {"Collective name": "allreduce", "In msg nelems": 250_000, "Out msg nelems": 250_000,
            "Group size": 8, "dtype": "Float", "stream": 9, "device": 0}  # fmt: skip
    exchange = {**KERNEL, "name": "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclArgs)", "dur": 1000,
                "args": said}  # fmt: skip
    (device,) = profile(read_kineto(written(tmp_path / "t.json", KERNEL, exchange))).devices
    (found,) = device.exchanges
    assert found.way == "ncclDevKernel_AllReduce_Sum_f32_RING_LL"
    assert (found.count, found.nbytes) == (1, 1_750_000)
    assert found.bytes_per_s == pytest.approx(1.75e9)
