"""Presents a comparison of sweeps as a table with its verdict, and as data for a program."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from cifar_ray.finals import Finals
from cifar_ray.reporting.comparison import Comparison, Contender, Score
from cifar_ray.reporting.fitting_table import FittingTable, narrow_table
from cifar_ray.reporting.formats import MISSING, chosen_by, cost_amount, data_name, interval_text, percent, seconds
from cifar_ray.reporting.leads import TEST, GroupScore, compare_searchers, group_scores, leads
from cifar_ray.reporting.score_rows import mean_text
from cifar_ray.reporting.terminal import verbatim

UNPAIRED = (
    "Where a line of two sweeps has no p, its interval treats their images as different. On the same images a paired "
    "test (McNemar's) would tell more, but not all records have the answers by image that it needs."
)
PAIRED = (
    "Where a line has a p, it is that of McNemar's exact test, and the interval a paired bootstrap's: they cover the "
    "choice of images, not of seeds, and a single comparison, however many were made."
)
SINGLE = (
    "A lead of one sweep over another on validation compares two such best accuracies, on one seed each, with an "
    "interval as of different images: it says which was ahead, not which would be on another seed."
)
OVER_SEEDS = (
    "Over sweeps of several seeds, intervals (Student's t) cover the choice of seeds, and so of the configurations "
    "sampled, split, weights and batches, but not the choice of test images."
)
SELECTED = (
    "Each winner was selected on validation among all trials and epochs, so its validation accuracy is optimistic: the "
    "truth may well lie below its 95 % interval, which is of one model on these images. The test set's is not."
)
MAX_COLUMNS = 3
"""Up to this many sweeps get a column each; more get a row each."""
NUM_KEPT = 4
"""Columns shown even in the narrowest terminal: the sweep, its seed, its test accuracy with its interval."""

Row = tuple[str, list[str]]


def comparison_renderable(comparison: Comparison) -> RenderableType:
    """A column for each sweep, or a row where there are many; then the cautions; then who leads."""
    rows = _rows(comparison.contenders, comparison.common_spent)
    ids = [each.sweep.sweep_id for each in comparison.contenders]
    table = _side_by_side(ids, rows) if len(ids) <= MAX_COLUMNS else _below_each_other(ids, rows)
    cautions = [verbatim(f"caution: {text}", "yellow") for text in comparison.cautions]
    verdict = [verbatim(line, "bold") for line in verdicts(comparison)]
    return Group(table, *cautions, *verdict, *(Text(note, style="dim") for note in _notes(comparison)))


def verdicts(comparison: Comparison) -> list[str]:
    """The means over seeds; where all sweeps trained on the same images, also which sweep and which searcher lead."""
    searchers, searcher_leads = compare_searchers(comparison)
    groups = [score.text for score in group_scores(comparison)]
    return [*groups, *(lead.text for lead in leads(comparison)), *searchers, *(lead.text for lead in searcher_leads)]


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The same as numbers, for a program; accuracies are fractions."""
    found = [*leads(comparison), *compare_searchers(comparison)[1]]
    return {
        "contenders": [_contender_numbers(each) for each in comparison.contenders],
        "cautions": comparison.cautions,
        "groups": [_group_numbers(each) for each in group_scores(comparison)],
        "leads": [asdict(lead) for lead in found],
    }


def _contender_numbers(contender: Contender) -> dict[str, Any]:
    sweep, result, scores, search = contender.sweep, contender.result, contender.scores, contender.validation()
    return {
        "id": sweep.sweep_id,
        "study": sweep.study,
        "data": sweep.dataset.name,
        "data_sha256": sweep.dataset.fingerprint,
        "seed": sweep.seed,
        "commit": sweep.commit,
        "commits": list(sweep.commits),
        "has_pauses": sweep.has_pauses,
        "chosen_by": chosen_by(sweep),
        **asdict(sweep.budget),
        "num_epochs": len(contender.metrics),
        "search_validation": search.accuracy if search else None,
        "validation": contender.chosen_validation,
        "test": {"accuracy": scores.accuracy, "interval": scores.accuracy_interval} if scores else None,
        "test_with_flips": scores.accuracy_with_flips if scores else None,
        "spent": contender.spent,
        "unit": contender.unit,
        "wall_s": result.wall_s if result else None,
        "cost": asdict(result.cost) if result and result.cost else None,
    }


def _group_numbers(score: GroupScore) -> dict[str, Any]:
    return {
        **asdict(score.group),
        "test": score.test.numbers if score.test else None,
        "test_with_flips": score.test_with_flips.numbers if score.test_with_flips else None,
        "validation": score.validation.numbers if score.validation else None,
        "not_evaluated": score.not_evaluated,
        "text": score.text,
    }


def _notes(comparison: Comparison) -> list[str]:
    """How to read the lines above."""
    if not comparison.has_verdict:
        return [SELECTED, *([OVER_SEEDS] if comparison.groups else [])]
    of_two = [lead for lead in leads(comparison) if lead.num_pairs is None]
    single = [lead for lead in of_two if lead.on == TEST]
    found = {
        SELECTED: True,
        SINGLE: len(single) < len(of_two),
        OVER_SEEDS: bool(comparison.groups),
        PAIRED: any(lead.p_value is not None for lead in single),
        UNPAIRED: any(lead.p_value is None for lead in single),
    }
    return [note for note, holds in found.items() if holds]


def _side_by_side(ids: Sequence[str], rows: Sequence[Row]) -> RenderableType:
    table = narrow_table("")
    for sweep_id in ids:
        table.add_column(verbatim(sweep_id), justify="right", overflow="fold")
    for label, cells in rows:
        table.add_row(Text(label), *map(verbatim, cells), style=_style(label))
    return FittingTable(table, len(table.columns))


def _below_each_other(ids: Sequence[str], rows: Sequence[Row]) -> RenderableType:
    table = narrow_table(Column("sweep", overflow="fold"))
    for label, cells in rows:
        heading = textwrap.fill(label, max(8, *map(len, cells)), break_long_words=False)
        table.add_column(Text(heading), justify="right", no_wrap=True, style=_style(label))
    for sweep_id, *cells in zip(ids, *(cells for _, cells in rows), strict=True):
        table.add_row(*map(verbatim, (sweep_id, *cells)))
    return FittingTable(table, NUM_KEPT)


def _style(label: str) -> str:
    return "bold" if label in ("test %", "best validation %") else ""


def _rows(contenders: Sequence[Contender], common: float | None) -> list[Row]:
    """Results first, then settings, what it took, and its origin."""

    def row(label: str, cells: Iterable[str]) -> Row:
        return label, list(cells)

    sweeps = [each.sweep for each in contenders]
    seeds = [[each.accuracy for each in found.scores.seeds] if found.scores else [] for found in contenders]
    return [
        row("seed", [str(sweep.seed) for sweep in sweeps]),
        *_score_rows("test %", [each.test for each in contenders]),
        *([row("test %, mean of seeds", map(mean_text, seeds))] if any(seeds) else []),
        *_score_rows("best validation %", [each.validation() for each in contenders]),
        *([row("finals: mean val. %", map(_finals_mean, contenders))] if any(map(_finals, contenders)) else []),
        *(_score_rows("val. % at same spend", [each.validation(common) for each in contenders]) if common else []),
        row("study", [sweep.study for sweep in sweeps]),
        row("trials × epochs", [f"{sweep.num_trials} × {sweep.max_epochs}" for sweep in sweeps]),
        row("grace, reduction", [f"{sweep.grace_period}, {sweep.reduction_factor}" for sweep in sweeps]),
        row("epochs trained", map(_epochs, contenders)),
        row("wall time", map(_wall_time, contenders)),
        row("trained for", map(_spent, contenders)),
        row("price", map(_price, contenders)),
        row("searcher", map(chosen_by, sweeps)),
        row("commit", [", ".join(map(_commit, sweep.commits)) for sweep in sweeps]),
        row("data", [data_name(sweep.dataset) for sweep in sweeps]),
        row("data SHA-256", [sweep.dataset.fingerprint[:12] for sweep in sweeps]),
    ]


def _score_rows(label: str, scores: Sequence[Score | None]) -> list[Row]:
    return [
        (label, [percent(each.accuracy if each else None, 2) for each in scores]),
        ("95 % interval", [interval_text(each.interval if each else None) for each in scores]),
    ]


def _wall_time(contender: Contender) -> str:
    if contender.result is None:
        return MISSING
    return f"{seconds(contender.result.wall_s)}{' with pauses' if contender.sweep.has_pauses else ''}"


def _commit(commit: str | None) -> str:
    """The first seven characters, and `-dirty` where files differed from it."""
    if commit is None:
        return MISSING
    return commit[:7] + ("-dirty" if commit.endswith("-dirty") else "")


def _price(contender: Contender) -> str:
    cost = contender.result.cost if contender.result else None
    return cost_amount(cost) if cost else MISSING


def _finals(contender: Contender) -> Finals | None:
    return contender.result.finals if contender.result else None


def _finals_mean(contender: Contender) -> str:
    """The winner's mean, with the number of its trainings that have an accuracy."""
    finals = _finals(contender)
    return mean_text(finals.winner.accuracies if finals and finals.winner else [])


def _epochs(contender: Contender) -> str:
    finals = _finals(contender)
    return f"{len(contender.metrics)}{f' + {finals.num_epochs} in finals' if finals else ''}"


def _spent(contender: Contender) -> str:
    """The device-seconds of the search alone."""
    unit = "acc." if contender.sweep.device == "accelerator" else "core"
    finals = _finals(contender)
    return f"{contender.spent:,.0f} {unit}-s{', then finals' if finals else ''}"
