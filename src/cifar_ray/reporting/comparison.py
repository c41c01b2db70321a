"""Compares sweeps: what each has reached, on which data, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cifar_ray.errors import ConfigurationError
from cifar_ray.records import EpochMetrics, SweepRecord, SweepResult, TestScores
from cifar_ray.reporting.formats import data_name
from cifar_ray.reporting.paired import Paired
from cifar_ray.reporting.seed_groups import SeedGroup, alike_sweeps, seed_groups
from cifar_ray.statistics import difference_interval, wilson_interval
from cifar_ray.storage.answers import TestAnswers
from cifar_ray.storage.runs import RunStore


@dataclass(frozen=True)
class Score:
    """An accuracy on a number of images."""

    num_correct: int
    num_images: int

    @classmethod
    def of(cls, accuracy: float, num_images: int) -> Score:
        """From an accuracy as a fraction, which is a whole number of images up to rounding."""
        return cls(num_correct=round(accuracy * num_images), num_images=num_images)

    @property
    def accuracy(self) -> float:
        """0 to 1."""
        return self.num_correct / self.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval."""
        return wilson_interval(self.num_correct, self.num_images)

    def lead(self, other: Score) -> tuple[float, float, float]:
        """This accuracy less the other one, and the 95 % interval of that, as though the images were different ones."""
        low, high = difference_interval((self.num_correct, self.num_images), (other.num_correct, other.num_images))
        return self.accuracy - other.accuracy, low, high


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One of the compared sweeps."""

    sweep: SweepRecord
    result: SweepResult | None
    scores: TestScores | None
    metrics: Sequence[EpochMetrics]
    answers: TestAnswers | None = None
    """None until it is evaluated, or where a version that did not store answers evaluated it."""

    @property
    def unit(self) -> str:
        """The unit of its trials' time: seconds of accelerators, or of CPU cores where it used none."""
        return f"{self.sweep.device}-seconds"

    @cached_property
    def course(self) -> list[tuple[float, float | None]]:
        """The amount spent, in `unit`, and the best validation accuracy so far, after each epoch of any trial.

        In the order in which the epochs were reported; None before the first with finite losses. Only the time that
        trials spent training counts.
        """
        spent: float = 0.0
        best: float | None = None
        points = []
        for line in self.metrics:
            spent += line.share_s * self.sweep.num_held
            if line.is_finite:
                best = max(best or 0.0, line.validation_accuracy)
            points.append((spent, best))
        return points

    @property
    def spent(self) -> float:
        """The total, in `unit`."""
        return self.course[-1][0] if self.course else 0.0

    def validation(self, spent: float | None = None) -> Score | None:
        """The search's best validation accuracy, or its best by the time it had spent `spent`.

        None before any epoch with finite losses.
        """
        reached = [best for cost, best in self.course if spent is None or cost <= spent * (1 + 1e-9)]
        best = reached[-1] if reached else None
        return None if best is None else Score.of(best, self.sweep.dataset.num_validation)

    @property
    def chosen_validation(self) -> float | None:
        """Accuracy of the training that is scored on the test set; for an unfinished sweep, its best so far."""
        if self.result:
            return self.result.validation_accuracy
        best = self.validation()
        return best.accuracy if best else None

    @property
    def test(self) -> Score | None:
        """None until it is evaluated."""
        return Score.of(self.scores.accuracy, self.scores.num_images) if self.scores else None

    def paired(self, other: Contender) -> Paired | None:
        """Compare image by image on the test set; None where either lacks stored answers, or the images differ."""
        mine, others = self.answers, other.answers
        if mine is None or others is None or mine.test_fingerprint != others.test_fingerprint:
            return None
        return Paired.of(mine.is_right(), others.is_right())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Sweeps that may be compared."""

    contenders: tuple[Contender, ...]

    @property
    def has_verdict(self) -> bool:
        """Whether all trained on the same images, so that one may be called better."""
        return len({each.sweep.dataset.fingerprint for each in self.contenders}) == 1

    @cached_property
    def groups(self) -> list[SeedGroup]:
        """Groups of sweeps that are alike in everything but the seed: their means are compared, not single sweeps."""
        return seed_groups([each.sweep for each in self.contenders])

    @property
    def alone(self) -> list[Contender]:
        """The sweeps that are in no such group."""
        grouped = {sweep_id for group in self.groups for sweep_id in group.sweep_ids}
        return [each for each in self.contenders if each.sweep.sweep_id not in grouped]

    @property
    def cautions(self) -> list[str]:
        """What keeps the numbers from showing which sweep is better."""
        unfinished = [each.sweep.sweep_id for each in self.contenders if each.result is None]
        running = [f"not finished: {', '.join(unfinished)}"] if unfinished else []
        return running + [text for text, holds in _cautions(self).items() if holds]

    @property
    def common_spent(self) -> float | None:
        """The largest amount that every sweep has spent; None where units or validation shares differ.

        None, too, where a search trains for fewer epochs than its finals, as its best then says little about the
        winner; and where `best_of` differs, as what the search for those configurations cost is not counted.
        """
        kinds = {(each.unit, each.sweep.dataset.validation_share, each.sweep.best_of) for each in self.contenders}
        if len(kinds) > 1 or any(_searches_short(each.sweep) for each in self.contenders):
            return None
        return min(each.spent for each in self.contenders)


def compare(runs: RunStore, sweep_ids: Sequence[str]) -> Comparison:
    """Read the sweeps to compare. ConfigurationError for fewer than two, and where their classes differ.

    RecordError where the answers to the test images are damaged.
    """
    if len(set(sweep_ids)) < 2:
        same = f", and {sweep_ids[0]} is the same one each time" if len(sweep_ids) > 1 else ""
        raise ConfigurationError(
            f"a comparison takes two sweeps or more{same}", f"list them with `cifar-ray results list{runs.flags}`"
        )
    contenders = tuple(
        Contender(
            sweep=runs.sweep(sweep_id),
            result=runs.result(sweep_id),
            scores=(scores := runs.test_scores(sweep_id)),
            metrics=runs.metrics(sweep_id),
            answers=runs.answers(scores) if scores else None,
        )
        for sweep_id in dict.fromkeys(sweep_ids)
    )
    first = contenders[0].sweep
    for each in contenders[1:]:
        if each.sweep.dataset.classes != first.dataset.classes:
            raise ConfigurationError(
                f"{first.sweep_id} is on {data_name(first.dataset)}, {each.sweep.sweep_id} on "
                f"{data_name(each.sweep.dataset)}: their accuracies are of different tasks",
                "compare sweeps of one data set; `cifar-ray results list` names it for each",
            )
    return Comparison(contenders=contenders)


def _searches_short(sweep: SweepRecord) -> bool:
    return sweep.num_finalists > 0 and sweep.epochs_of_finals > sweep.max_epochs


def _finals_budget(sweep: SweepRecord) -> tuple[int, ...]:
    if not sweep.num_finalists:
        return ()
    return sweep.num_finalists, sweep.num_seeds, sweep.epochs_of_finals


def _cautions(comparison: Comparison) -> dict[str, bool]:
    """Each possible caution, and whether it holds."""
    sweeps = [each.sweep for each in comparison.contenders]
    scores = [each.scores for each in comparison.contenders if each.scores]
    alone = [each.sweep.sweep_id for each in comparison.alone if comparison.groups]
    seed_sets = {frozenset(sweep.seed for sweep in members) for members in alike_sweeps(sweeps)}
    nodes = [each for sweep in sweeps for each in (sweep.hardware, *(later.hardware for later in sweep.resumptions))]
    hardware = {(each.get("cpu_model"), each.get("accelerator_types")) for each in nodes}
    studies = {sweep.study for sweep in sweeps}
    return {
        "the training images differ (SHA-256): a difference may be the data's, so no sweep is called the better one": (
            not comparison.has_verdict
        ),
        "the test images differ (SHA-256): their test accuracies are of different sets": (
            len({each.test_fingerprint for each in scores}) > 1
        ),
        "seeds differ, and with them the images that validate": len(seed_sets) > 1,
        f"of one seed, and so not set against the means of several (compare two by two): {', '.join(alone)}": bool(
            alone
        ),
        "some hold out more of the images than others: no validation accuracy is set against another": (
            len({sweep.dataset.validation_share for sweep in sweeps}) > 1
        ),
        "budgets differ: more trials or epochs, or fewer cuts, alone may win": (
            len({(sweep.budget, *_finals_budget(sweep)) for sweep in sweeps}) > 1
        ),
        "their studies have one name and different definitions": len(studies)
        < len({(s.study, s.definition) for s in sweeps}),
        "some trained in cohorts, on shared batches, the others individually": (
            len(studies) < len({(s.study, s.is_cohort) for s in sweeps})
        ),
        "some search by trainings shorter than their finals: how far those get says little of the winners": any(
            map(_searches_short, sweeps)
        ),
        "not all train the same given configurations (`--best-of`): what the search took is not in what they spent": (
            len({sweep.best_of for sweep in sweeps}) > 1
        ),
        "versions of the code differ (commit): a difference may be theirs": (
            len({commit for sweep in sweeps for commit in sweep.commits}) > 1
        ),
        "machines differ: seconds of one are not seconds of another": len(hardware) > 1,
        "some count in accelerator-seconds, some in core-seconds: no same spend to compare at": (
            len({each.unit for each in comparison.contenders}) > 1
        ),
    }
