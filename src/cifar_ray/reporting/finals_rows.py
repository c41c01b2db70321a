"""Turns a sweep's finals into rows of text, for Markdown, terminal and page alike."""

from __future__ import annotations

from cifar_ray.finals import Finalist, Finals
from cifar_ray.reporting.formats import MISSING, interval_text, percent

HEADING = ("trial", "in the sweep %", "seeds", "mean %", "95 % interval", "shrinkage")
NOTE = (
    "Finals: the best settings retrained to the last epoch, each on several seeds. Validation accuracies; the "
    "interval is over seeds (Student's t); shrinkage, in points, is what the sweep gave a trial beyond its mean, where "
    "it had as many epochs as its trainings here."
)


def finals_rows(finals: Finals) -> list[list[str]]:
    """A row for each finalist, the chosen one first."""
    return [_row(each) for each in finals.finalists]


def _row(finalist: Finalist) -> list[str]:
    num_broken = sum(each.outcome != "completed" for each in finalist.retrainings)
    return [
        finalist.trial_id,
        percent(finalist.searched_accuracy, 2),
        f"{len(finalist.retrainings)}{f', {num_broken} broke off' if num_broken else ''}",
        percent(finalist.mean, 2),
        interval_text(finalist.interval),
        MISSING if finalist.shrinkage is None else f"{100 * finalist.shrinkage:.2f}",
    ]
