"""`ds-sdk store init`, `add-tier`: what a store lies on, which codes it will use, and why."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from deepseek_core import errors
from deepseek_store.cli.common import Command, add_home, add_json, tell
from deepseek_store.cli.settings import policy_of, tier_url
from deepseek_store.commands import command
from deepseek_store.planning.amounts import counted

if TYPE_CHECKING:
    from deepseek_store.codes.choose import CodeChoice, WeighedCode
    from deepseek_store.store import Store

_EXAMPLES: Final = """examples:
  ds-sdk store init data                                        everything on this disk
  ds-sdk store init data --warm 'disks?domains=12'              a folder for each disk: d0 ... d11
  ds-sdk store init data --warm disks --cold s3://bucket/cold   and an object store
  ds-sdk store init data --mirror /mnt/second/log               the log on two disks
  ds-sdk store init data --set half_life_s=7d --set codes.cold='lrc(24,2,4)'

The code of each tier follows from the number of failure domains and from floor_nines."""

_ADD_EXAMPLES: Final = """examples:
  ds-sdk store add-tier data --cold s3://bucket/cold     an object store for what is hardly read
  ds-sdk store add-tier data --warm 'more?domains=4'     more disks of the warm tier

The places get the store's mark. New stripes are spread over all places of their tier; those that
are there stay as they are. The code of a tier may change, since it has more domains."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("home", metavar="HOME", help="an empty folder, or one to be made")
    _add_tiers_to(parser)
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder on another disk that gets a copy of the log; several if repeated",
    )
    parser.add_argument(
        "--index",
        default="sqlite",
        metavar="URL",
        help="a PostgreSQL database (postgresql://...), so that several machines share the store",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the policy; NAME.warm=VALUE where there is one per tier",
    )
    add_json(parser)


def _add_tiers_to(parser: argparse.ArgumentParser) -> None:
    for tier in ("warm", "cold"):
        parser.add_argument(
            f"--{tier}",
            action="append",
            default=[],
            metavar="URL",
            help=f"a {tier} tier: a folder, or a URL that a plugin opens; may be repeated",
        )


def _run(args: argparse.Namespace) -> int:
    from deepseek_store.store import Store

    policy = policy_of(args.set)
    with Store.init(
        args.home,
        warm=[tier_url(text) for text in args.warm],
        cold=[tier_url(text) for text in args.cold],
        mirrors=args.mirror,
        index=args.index,
        policy=policy,
    ) as store:
        made = f"made a store in {store.home}"
        tell(_facts(store), "\n".join([made, *_sentences(store)]), as_json=args.json)
    return 0


def _add_tier_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    _add_tiers_to(parser)
    add_json(parser)


def _add_tier(args: argparse.Namespace) -> int:
    from deepseek_store.store import Store

    warm, cold = (list(map(tier_url, texts)) for texts in (args.warm, args.cold))
    if not warm and not cold:
        raise errors.ConfigError(
            "there is no tier to add", remedy=f"{command('add-tier', args.home)} --cold URL"
        )
    with Store.add_tiers(args.home, warm=warm, cold=cold) as store:
        added = f"added {counted(len(warm) + len(cold), 'tier')} to {store.home}"
        tell(_facts(store), "\n".join([added, *_sentences(store)]), as_json=args.json)
    return 0


def _facts(store: Store) -> dict[str, Any]:
    config = store.parts.config
    return {
        "home": str(store.home),
        "store_id": config.store_id.hex(),
        "tiers": [tier.to_json() for tier in config.tiers],
        "codes": {name: _code_facts(choice) for name, choice in store.maintenance.codes().items()},
        "policy": config.policy.to_json(),
    }


def _code_facts(choice: CodeChoice) -> dict[str, Any]:
    return {
        "code": choice.code.name,
        "efficiency": choice.efficiency,
        "nines": dict(choice.nines),
        "fragments_per_domain": choice.fragments_per_domain,
        "domain_losses": choice.domain_losses,
        "rule": choice.rule,
        "reasons": list(choice.reasons),
    }


def _sentences(store: Store) -> Iterator[str]:
    parts = store.parts
    copies = 1 + len(parts.config.mirrors)
    yield f"hot: the log in {store.home / 'log'}" + (f", {copies} copies" if copies > 1 else "")
    for tier, choice in store.maintenance.codes().items():
        domains = len(parts.tiers.places(tier))
        yield f"{tier}: {code_sentence(choice, domains)}"
        yield from (f"  {line}" for line in _reasons(choice))
        if _is_simulated(store, tier):
            yield "  simulated: its failure domains share a disk or a bucket, and fail together"
    if not parts.config.tiers:
        yield "no other tiers: --warm and --cold name some; objects stay in the log"


def code_sentence(choice: CodeChoice, domains: int) -> str:
    """A code with what it promises, in one line."""
    models = ", ".join(f"{name} {nines:.1f}" for name, nines in choice.nines.items())
    return (
        f"{choice.code.name} on {counted(domains, 'failure domain')}, any "
        f"{choice.domain_losses} of them may fail; storage efficiency {choice.efficiency:.3f}; "
        f"durability: at least {choice.least_nines:.1f} nines a year (repair models: {models})"
    )


def _reasons(choice: CodeChoice) -> Iterator[str]:
    """Why this code, what would fit too, and what was refused."""
    yield f"chosen: {choice.rule}"
    others = [each for each in choice.candidates if each.code != choice.code]
    fitting = [each for each in others if not each.refused]
    if fitting:
        listed = ", ".join(f"{each.code.name} {each.efficiency:.3f}" for each in fitting)
        yield f"also possible, with efficiency: {listed}"
    yield from _refusals([each for each in others if each.refused])


def _refusals(refused: list[WeighedCode]) -> Iterator[str]:
    """One line for each reason, however many codes it refuses."""
    by_reason: dict[str, list[WeighedCode]] = {}
    for each in refused:
        by_reason.setdefault(each.refused.partition(":")[0], []).append(each)
    for reason, codes in by_reason.items():
        if len(codes) == 1:
            yield f"refused: {codes[0].code.name}: {codes[0].refused}"
        else:
            names = ", ".join(each.code.name for each in codes)
            yield f"refused: {counted(len(codes), 'code')} ({names}): {reason}"


def _is_simulated(store: Store, tier: str) -> bool:
    tiers = store.parts.tiers
    numbers = store.parts.config.of(tier)
    return any(tiers.tier(number).profile().evidence == "simulated" for number in numbers)


COMMANDS: Final = {
    "init": Command(
        add_arguments=_add_arguments,
        run=_run,
        examples=_EXAMPLES,
        details="New objects land in its log; tiers take what is warm and cold.",
    ),
    "add-tier": Command(
        add_arguments=_add_tier_arguments,
        run=_add_tier,
        examples=_ADD_EXAMPLES,
        details="What is stored stays where it is. Nobody may have the store open meanwhile.",
    ),
}
