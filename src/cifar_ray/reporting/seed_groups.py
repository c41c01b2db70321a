"""Groups sweeps that are alike in everything but their seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cifar_ray.errors import plain
from cifar_ray.records import SweepRecord
from cifar_ray.reporting.formats import chosen_by

_ALWAYS = ("study", "budget", "grace")


@dataclass(frozen=True, kw_only=True)
class SeedGroup:
    """Sweeps of two seeds or more, otherwise alike."""

    name: str
    """The study, with what distinguishes this group from others of that study."""
    title: str
    """The same with budget and seeds."""
    sweep_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    """Sorted, each once."""


def _likeness(sweep: SweepRecord) -> dict[str, str]:
    """All that defines a sweep but its seed, as text by aspect. Not its code: a caution covers that."""
    finals = f"{sweep.num_finalists} × {sweep.num_seeds} × {sweep.epochs_of_finals}"
    own = sha256(sweep.definition.encode()).hexdigest()[:8] if sweep.definition else ""
    return {
        "study": plain(sweep.study),
        "definition": f"study file {own}" if own else "built in",
        "budget": f"{sweep.num_trials} × {sweep.max_epochs}",
        "grace": f"grace {sweep.grace_period}",
        "reduction": f"reduction factor {sweep.reduction_factor}",
        "searcher": chosen_by(sweep),
        "finals": f"finals {finals}" if sweep.num_finalists else "no finals",
        "cohort": "in a cohort" if sweep.is_cohort else "individually",
        "share": f"{sweep.dataset.validation_share:g} held out",
        "data": f"data {sweep.dataset.fingerprint[:12]}",
    }


def alike_sweeps(sweeps: Iterable[SweepRecord]) -> list[list[SweepRecord]]:
    """The sweeps, those together that differ at most in their seed, in the order of their first ones."""
    alike: dict[tuple[str, ...], list[SweepRecord]] = {}
    for sweep in sweeps:
        alike.setdefault(tuple(_likeness(sweep).values()), []).append(sweep)
    return list(alike.values())


def seed_groups(sweeps: Iterable[SweepRecord]) -> list[SeedGroup]:
    """The groups of two seeds or more, in the order of their first sweeps."""
    groups = [members for members in alike_sweeps(sweeps) if len({sweep.seed for sweep in members}) > 1]
    return [_group(members, [_likeness(others[0]) for others in groups]) for members in groups]


def _group(members: Sequence[SweepRecord], groups: Sequence[dict[str, str]]) -> SeedGroup:
    mine, seeds = _likeness(members[0]), tuple(sorted({sweep.seed for sweep in members}))
    of_study = [each for each in groups if each["study"] == mine["study"]]
    telling = [what for what in mine if len({each[what] for each in of_study}) > 1]
    name = f"{mine['study']} ({', '.join(mine[what] for what in telling)})" if telling else mine["study"]
    shown = {*_ALWAYS, *telling, *(["searcher"] if mine["searcher"] != "random" else [])}
    title = ", ".join(text for what, text in mine.items() if what in shown)
    return SeedGroup(
        name=name,
        title=f"{title}, seeds {_seeds_text(seeds)}",
        sweep_ids=tuple(sweep.sweep_id for sweep in members),
        seeds=seeds,
    )


def _seeds_text(seeds: Sequence[int]) -> str:
    """`0-4`, or each where some in between are missing."""
    is_whole = len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1
    return f"{seeds[0]}-{seeds[-1]}" if is_whole else ", ".join(map(str, seeds))
