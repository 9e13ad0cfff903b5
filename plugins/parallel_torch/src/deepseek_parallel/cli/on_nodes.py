"""`ds-sdk train run --executor`: a run whose other nodes an executor's launcher brings in."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from deepseek_core import errors, training
from deepseek_parallel.trainer.launch.elastic import files_of, train_elastic
from deepseek_parallel.trainer.launch.guests import Guests, job_of


def train_on_nodes(
    args: argparse.Namespace, recipe: Any, told: Mapping[str, Any], show: Any
) -> dict[str, Any]:
    """Train here and on the other nodes of the executor's cluster: the report.

    Raises:
        ConfigError: no such executor, fewer nodes than were asked for, or no address of this
            machine that they reach.
        DeviceUnavailable: the cluster does not answer.
        RankFailed: too few nodes could be started, or no worker came to the end.
    """
    nproc = args.nproc or 1
    job = job_of(recipe, files_of(recipe))
    with training.open_launcher(args.executor, address=args.address) as launcher:
        guests = Guests(launcher, job, nproc=nproc, count=args.nodes)
        if guests.num_nodes == 1 and not args.elastic:
            raise errors.ConfigError(
                "the cluster has no node that is up but this machine",
                remedy="start others, leave --executor out, or wait for some: --elastic 1:4",
            )
        return train_elastic(
            recipe, told, args.elastic or f"1:{guests.num_nodes * nproc}", show=show,
            nproc=nproc, listen=args.listen or guests.address(), guests=guests,
        )  # fmt: skip
