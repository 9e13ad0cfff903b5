"""Random placement problems: stages, devices, measured and guessed costs, pins, one whole."""

import attrs
from hypothesis import strategies as st

from deepseek_core import Concurrency, Estimate
from deepseek_core.schedule.problem import Candidate, Link, Objective, Problem, StageOptions

DEVICES = "a", "b", "c"
SOURCES = "measured", "model", "prior"


@st.composite
def estimates(draw, sources=SOURCES):
    seconds = draw(st.floats(1e-3, 10.0))
    return Estimate(seconds=seconds, sigma=0.1, source=draw(st.sampled_from(sources)), samples=3)


@st.composite
def candidate_rows(draw, devices=DEVICES, sources=SOURCES):
    """A candidate for each device; at least one is able."""
    able = draw(st.sets(st.sampled_from(devices), min_size=1))
    return tuple(
        Candidate(
            device_id=device,
            estimate=draw(estimates(sources)),
            reads_model=draw(st.booleans()),
        )
        if device in able
        else Candidate(device_id=device, refusal="too small")
        for device in devices
    )


@st.composite
def stage_options(draw, name, before, sources=SOURCES, read_bytes=False):
    row = draw(candidate_rows(sources=sources))
    able = [c.device_id for c in row if c.estimate is not None]
    pins = draw(st.one_of(st.just(()), st.sets(st.sampled_from(able), min_size=1).map(tuple)))
    after = draw(st.sets(st.sampled_from(before))) if before else ()
    sizes = {p: draw(st.sampled_from([0, 1000, 5000])) for p in sorted(after)} if read_bytes else {}
    return StageOptions(
        name=name, predecessors=tuple(sorted(after)), candidates=row, pinned_to=tuple(sorted(pins)),
        read_bytes=sizes,
    )  # fmt: skip


@st.composite
def all_links(draw):
    """Some pairs of devices with a latency, a time for each byte, both, or neither."""
    some = st.builds(
        Link,
        latency_s=st.sampled_from([0.0, 0.1, 2.0]),
        s_per_byte=st.sampled_from([0.0, 1e-4, 1e-3]),
    )
    pairs = [(a, b) for a in DEVICES for b in DEVICES if a != b]
    return {pair: draw(some) for pair in pairs if draw(st.booleans())}


@st.composite
def problems(draw, sources=SOURCES, objective=None, with_whole=None, links=False):
    """A problem of one to four stages; it has a placement."""
    names = [f"s{i}" for i in range(draw(st.integers(1, 4)))]
    stages = [
        draw(stage_options(name, names[:index], sources, links)) for index, name in enumerate(names)
    ]
    takes = st.builds(Concurrency, slots=st.integers(1, 2), host_threads=st.integers(0, 2))
    problem = Problem(
        stages=tuple(stages),
        concurrency={device: draw(takes) for device in DEVICES},
        host_cores=2,
        objective=objective or draw(st.sampled_from(Objective)),
        links=draw(all_links()) if links else {},
    )
    wanted = draw(st.booleans()) if with_whole is None else with_whole
    allowed = set(DEVICES).intersection(*(s.pinned_to for s in stages if s.pinned_to))
    if not wanted or len(names) == 1 or not allowed:
        return problem
    row = draw(candidate_rows(tuple(sorted(allowed)), sources))
    return attrs.evolve(problem, whole=StageOptions(name=" + ".join(names), candidates=row))
