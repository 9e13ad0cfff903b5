"""Devices that break their promises in every way that can be told from a right answer.

Their arithmetic is that of `plain_devices`, exact in integers. Only those whose names begin with
`bad` misbehave, and they claim to be the fastest. What nobody can tell is left out: a plausible
number that is wrong.
"""

import random
import threading
import time

import attrs
import numpy as np
import plain_devices

from deepseek_core import Concurrency, Estimate, errors

GO = threading.Event()  # lets all that hang go on
RANDOM = random.Random(0)


class Own(BaseException):
    """An error that derives from nothing usual."""


class Break(KeyboardInterrupt):
    """An error that looks like Ctrl-C."""


class Mute(Exception):
    """An error that can't say what it is."""

    def __str__(self):
        raise RuntimeError("no text")


@attrs.frozen(kw_only=True)
class Kind:
    """One way to misbehave: what takes the place of what, in which share of the calls.

    `honest` is the number of calls of a device before the first bad one. `legal`: it must not be
    taken for a fault. `checked`: it shows only where the session checks for NaN.
    """

    at: str
    do: object
    share: float = 0.5
    honest: int = 0
    legal: bool = False
    checked: bool = False


def throw(error):
    def act(*_):
        raise error

    return act


def answer(value):
    return lambda *_: value


def hang(*_):
    GO.wait(120)


def each(change):
    """Another value in place of each output."""
    return lambda made, *_: {name: change(value) for name, value in made.items()}


def estimate(seconds, sigma=1.0):
    return lambda *_: Estimate(seconds=seconds, sigma=sigma, source="prior")


def nan(value):
    return np.full_like(value, np.nan)


def swapped(made, inputs, _owner):
    """Another name for one of the outputs."""
    return {f"{name}_": value for name, value in made.items()}


def more(made, inputs, _owner):
    """An output named as a tensor that the graph has already, with foreign values."""
    return {**made, "x": next(iter(inputs.values())) - 1e6, "l": next(iter(made.values())) - 1e6}


def same_buffer(made, inputs, owner):
    """The arrays of the run before, overwritten."""
    for name, value in made.items():
        kept = owner.kept.setdefault((name, value.shape), np.empty_like(value))
        kept[...] = value
    return {name: owner.kept[name, value.shape] for name, value in made.items()}


def same_dict(made, inputs, owner):
    """The mapping of the run before, filled anew."""
    owner.answer.clear()
    owner.answer.update(made)
    return owner.answer


def views_of_a_buffer(made, inputs, owner):
    """New views of the same memory."""
    return {name: value[:] for name, value in same_buffer(made, inputs, owner).items()}


def foreign_memory(made, inputs, owner):
    """Arrays over memory that is not numpy's."""
    found = {}
    for name, value in made.items():
        kept = owner.kept.setdefault((name, value.shape), bytearray(value.nbytes))
        kept[:] = value.tobytes()
        found[name] = np.frombuffer(kept, value.dtype).reshape(value.shape)
    return found


def written_later(made, inputs, owner):
    """Arrays that are written into once all answers were given: any sooner is a race."""
    Now.late.extend(made.values())
    return made


def write_late():
    """Write into all that was handed out and is kept here."""
    for value in Now.late:
        np.subtract(value, 1e6, out=value)
    Now.late = []


def inputs_spoiled(inputs):
    """Values changed in place, after which the run fails."""
    for value in inputs.values():
        np.subtract(value, 1e6, out=value)
    raise RuntimeError("after it changed its inputs")


def inputs_kept(made, inputs, _owner):
    """Its inputs' own memory, where an output has their values, else an honest answer."""
    name, value = next(iter(made.items()))
    taken = next(iter(inputs.values()))
    return {name: taken} if np.array_equal(taken, value) else made


def read_only(value):
    value.flags.writeable = False
    return value


def strided(value):
    wide = np.empty((2 * value.shape[0], value.shape[1] + 3), value.dtype, order="F")
    view = wide[::2, 1:-2]
    view[...] = value
    return view


def slow(*_):
    time.sleep(0.05)


KINDS = {
    "one item short": Kind(at="after", do=each(lambda v: v[:-1])),
    "one item too many": Kind(at="after", do=each(lambda v: np.concatenate([v, v[:1]]))),
    "wrong dtype": Kind(at="after", do=each(lambda v: v.astype(np.float32))),
    "wrong rank": Kind(at="after", do=each(lambda v: v[None])),
    "wrong width": Kind(at="after", do=each(lambda v: v[:, :1])),
    "output missing": Kind(at="after", do=lambda made, *_: {}),
    "output renamed": Kind(at="after", do=swapped),
    "outputs too many": Kind(at="after", do=more),
    "None": Kind(at="after", do=answer(None)),
    "a list": Kind(at="after", do=lambda made, *_: list(made.values())),
    "a text": Kind(at="after", do=answer("done")),
    "values that are lists": Kind(at="after", do=each(lambda v: v.tolist())),
    "the same buffers": Kind(at="after", do=same_buffer, share=1.0),
    "views of the same buffers": Kind(at="after", do=views_of_a_buffer, share=1.0),
    "the same bytes": Kind(at="after", do=foreign_memory, share=1.0),
    "the same mapping": Kind(at="after", do=same_dict, share=1.0),
    "written after the return": Kind(at="after", do=written_later),
    "inputs changed": Kind(at="before", do=inputs_spoiled),
    "inputs handed back": Kind(at="after", do=inputs_kept, share=1.0, legal=True),
    "read-only": Kind(at="after", do=each(read_only), share=1.0, legal=True),
    "strided": Kind(at="after", do=each(strided), share=1.0, legal=True),
    "NaN": Kind(at="after", do=each(nan), checked=True),
    "raises Exception": Kind(at="before", do=throw(RuntimeError("driver bug")), share=0.3),
    "raises SystemExit": Kind(at="before", do=throw(SystemExit(3))),
    "raises KeyboardInterrupt": Kind(at="before", do=throw(Break())),
    "raises GeneratorExit": Kind(at="before", do=throw(GeneratorExit())),
    "raises BaseException": Kind(at="before", do=throw(Own())),
    "raises MemoryError": Kind(at="before", do=throw(MemoryError())),
    "raises what has no text": Kind(at="before", do=throw(Mute())),
    "raises OutOfMemory": Kind(
        at="before", do=throw(errors.OutOfMemory("no room", device_id="bad"))
    ),
    "raises DeviceLost": Kind(
        at="before", do=throw(errors.DeviceLost("the cable is out", device_id="bad"))
    ),
    "dies for good": Kind(at="before", do=throw(OSError("gone")), share=1.0, honest=5),
    "slow": Kind(at="before", do=slow, legal=True, share=0.2),
    "hangs in a run": Kind(at="before", do=hang, share=1.0, honest=3),
    "hangs in open": Kind(at="open", do=hang, share=1.0),
    "hangs in load": Kind(at="load", do=hang, share=1.0),
    "hangs in a later load": Kind(at="load", do=hang, share=1.0, honest=4),
    "hangs in warmup": Kind(at="warmup", do=hang, share=1.0),
    "hangs when freed": Kind(at="free", do=hang, share=1.0),
    "hangs in close": Kind(at="close", do=hang, share=1.0),
    "hangs in supports": Kind(at="supports", do=hang, share=1.0),
    "hangs in estimate": Kind(at="estimate", do=hang, share=1.0),
    "hangs in concurrency": Kind(at="concurrency", do=hang, share=1.0),
    "raises in open": Kind(at="open", do=throw(OSError("busy")), share=1.0),
    "raises in load": Kind(at="load", do=throw(Own())),
    "raises in warmup": Kind(at="warmup", do=throw(Own())),
    "raises in close": Kind(at="close", do=throw(Own()), share=1.0),
    "raises when freed": Kind(at="free", do=throw(Own()), share=1.0),
    "no executable": Kind(at="load", do=answer(None)),
    "estimate raises": Kind(at="estimate", do=throw(Own())),
    "estimate NaN": Kind(at="estimate", do=estimate(float("nan"))),
    "estimate negative": Kind(at="estimate", do=estimate(-1.0)),
    "estimate 0": Kind(at="estimate", do=estimate(0.0, 0.0), share=1.0),
    "estimate 1e308": Kind(at="estimate", do=estimate(1e308), share=1.0),
    "estimate a text": Kind(at="estimate", do=answer("soon")),
    "supports raises": Kind(at="supports", do=throw(Own())),
    "supports None": Kind(at="supports", do=answer(None)),
    "concurrency raises": Kind(at="concurrency", do=throw(Own()), share=1.0),
    "concurrency 0": Kind(at="concurrency", do=lambda *_: Concurrency(slots=0), share=1.0),
    "concurrency 10**9": Kind(at="concurrency", do=lambda *_: Concurrency(slots=10**9), share=1.0),
}


class Now:
    """What is wrong just now, and how often it was: `kind`, and calls by device and place."""

    kind, calls, bad = None, None, 0
    late = ()  # arrays that were handed out, to be written into


def begin(kind):
    """Let the bad devices misbehave in this way from now on."""
    GO.clear()
    Now.kind, Now.calls, Now.bad, Now.late = kind, {}, 0, []


def misbehaves(device_id, place):
    """Whether this call is to be a bad one."""
    kind = Now.kind
    if kind is None or kind.at != place or not device_id.startswith("bad"):
        return False
    calls = Now.calls[device_id, place] = Now.calls.get((device_id, place), 0) + 1
    is_bad = calls > kind.honest and RANDOM.random() < kind.share
    Now.bad += is_bad
    return is_bad


def done(device_id, place, usual, *values):
    """What a call gives: what it should, or what the kind does in its place."""
    return Now.kind.do(*values) if misbehaves(device_id, place) else usual()


class ChaosDevice(plain_devices.PlainDevice):
    def __init__(self, device_id, options):
        done(device_id, "open", lambda: None)
        super().__init__(device_id, options)

    def supports(self, operation):
        usual = super().supports
        return done(self.info.id, "supports", lambda: usual(operation))

    def estimate(self, task):
        seconds = 1e-6 if self.info.id.startswith("bad") else 1e-3
        usual = Estimate(seconds=seconds * task.batch, sigma=1.0, source="prior")
        return done(self.info.id, "estimate", lambda: usual)

    def concurrency(self, latency):
        return done(self.info.id, "concurrency", lambda: Concurrency(slots=2))

    def load(self, stage, options):
        return done(self.info.id, "load", lambda: ChaosExecutable(stage, self.info.id))

    def close(self):
        done(self.info.id, "close", super().close)


class ChaosExecutable(plain_devices.PlainExecutable):
    def __init__(self, stage, device_id):
        super().__init__(stage, device_id)
        self.kept, self.answer = {}, {}

    def run(self, inputs):
        done(self.device_id, "before", lambda: None, inputs)
        made = super().run(inputs)
        return done(self.device_id, "after", lambda: made, made, inputs, self)

    def warmup(self, batch):
        done(self.device_id, "warmup", lambda: None)

    def close(self):
        done(self.device_id, "free", lambda: None)
