"""Ranks of torchrun agree on what fits: on the least of them, and on a failure at once."""

import json
import os
import socket
import subprocess
import sys

SCRIPT = """\
import json
import sys

from deepseek_observe.tune.agree import Ranks
from deepseek_observe.tune.errors import TrialFailed
from deepseek_observe.tune.fits import Verdict, largest

ranks = Ranks(60.0)
most = [9, 5][ranks.rank]
found = largest(ranks.together(lambda batch: Verdict(fits=batch <= most)), 1, 16)


def fails(batch):
    if ranks.rank == 1:
        raise ValueError("of rank 1")
    return Verdict(fits=True)


try:
    ranks.together(fails)(4)
    told = ""
except (TrialFailed, ValueError) as error:
    told = str(error)
print(json.dumps([ranks.rank, found, told]))
ranks.leave()
"""


def test_a_batch_fits_where_it_fits_on_all():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE,
            env={**os.environ, **shared, "RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        answers = [json.loads(rank.communicate(timeout=90)[0].splitlines()[-1]) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    assert [answer[:2] for answer in answers] == [[0, 5], [1, 5]]
    assert "fails on another rank" in answers[0][2]
    assert answers[1][2] == "of rank 1"
