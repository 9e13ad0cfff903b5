"""A file that is damaged in any way gets an answer, or an error that says what to do."""

import random

import pytest
from advised import DATA

from deepseek_core import errors
from deepseek_observe.advise.collectives.table import parse_tables
from deepseek_observe.advise.environment.lint import lint
from deepseek_observe.advise.environment.reading import parse_environment
from deepseek_observe.advise.environment.rule import Case
from deepseek_observe.advise.report import Asked, advise, facts_of
from deepseek_observe.advise.topology.opening import parse_topology

ODD = ["", "-1", "99999999999999", "0x", "nan", "é", "1e9", "ffff," * 30]


def damaged(text, rng):
    """A text cut, changed, shortened, with strange values, or in another order."""
    place = rng.randrange(len(text) + 1)
    lines, quoted = text.split("\n"), text.split('"')
    kind = rng.randrange(5)
    if kind == 0:
        return text[:place]
    if kind == 1:
        return text[:place] + rng.choice('\0\t\n 09<>"x-λ\u2028') + text[place + 1 :]
    if kind == 2:
        return text[:place] + text[place + rng.randrange(1, 400) :]
    if kind == 3:
        quoted[rng.randrange(len(quoted))] = rng.choice(ODD)
        return '"'.join(quoted)
    rng.shuffle(lines)
    return "\n".join(lines)


def answer(kind, text):
    if kind == "logs":
        advise(Asked(tables=parse_tables(text, "x")))
    elif kind == "clean":
        found = parse_environment(text, "x")
        lint(Case(env=found.values, twice=found.twice))
    else:
        topology = parse_topology(text, "x")
        facts_of([topology])
        advise(Asked(topologies=[topology]))


@pytest.mark.parametrize(
    ("kind", "count"), [("smi", 300), ("xml", 60), ("logs", 60), ("clean", 300)]
)
def test_no_damage_is_answered_by_an_accident(kind, count):
    rng = random.Random(11)
    texts = [path.read_text() for path in sorted((DATA / kind).iterdir())]
    answered = 0
    for number in range(count):
        text = damaged(damaged(texts[number % len(texts)], rng), rng)
        try:
            answer(kind, text)
            answered += 1
        except errors.DeepSeekError as error:
            assert error.remedy
    assert 0 < answered <= count
