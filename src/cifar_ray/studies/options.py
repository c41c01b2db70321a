"""The options of a sweep: what a person may change about a study without writing a new one."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.duration import read_duration
from cifar_ray.studies.study import LEAST_SHARE, VALIDATION_SHARE, Searcher, Study
from cifar_ray.studies.trial_config import parse_setting

Keep = Literal["all", "winner"]
PUBLISHED = "report"
"""Takes the place of a sweep's name in `best_of`: the configuration that won the study in the report."""
LEAST_VALIDATION = 0.01
"""500 images of CIFAR-10: fewer would choose the epoch by chance."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """A sweep's options; None keeps the study's own value or the environment's."""

    trials: int | None = None
    """Number of trials."""
    max_epochs: int | None = None
    """Most epochs of one trial, and of each training of its finals."""
    grace_period: int | None = None
    """Epochs that every trial gets before ASHA may stop it; with as many as `max_epochs`, none is stopped."""
    reduction_factor: int | None = None
    """Of the trials that reach a rung, one in this many goes on."""
    seeds: int | None = None
    """Number of seeds on which each finalist is trained anew; 0 for no finals."""
    best_of: str | None = None
    """The finished sweep whose best configurations are trained, instead of drawn ones: one, or as many as `trials`.
    PUBLISHED for the report's winner."""
    validation_share: float | None = None
    """For `best_of`: share of the training images held out for validation; a tenth by default, as in a search."""
    setting: tuple[str, ...] = ()
    """For `best_of`: settings that replace those of its configurations, `name=value` each."""
    data: str | None = None
    """cifar10, shapes, auto, a folder or an s3:// prefix."""
    storage: str | None = None
    """s3://bucket/prefix or a folder."""
    searcher: Searcher | None = None
    """What chooses the configurations."""
    seed: int | None = None
    """Seed of configurations, split, batches and augmentation; 0 by default."""
    accelerators_per_trial: float | None = None
    """Share of an accelerator per trial, at most 1: a trial trains on one."""
    accelerator: str | None = None
    """The accelerators' type, as Ray names it; None for any."""
    cpus_per_trial: float | None = None
    """CPU cores of a trial, and its threads; one by default."""
    no_cohort: bool = False
    """Train the trials one by one where the study would train them as cohorts."""
    keep: Keep = "all"
    """Checkpoints to keep: every trial's best and two newest or, in the end, the winner's best alone."""
    time_limit: str | None = None
    """How long the job may take, such as 2h."""
    sweep_id: str | None = None
    """Name of the sweep in the store."""
    resume: bool = False
    """Resume the sweep of that id."""
    start_or_resume: bool = False
    """Resume the sweep of that id, or start it where the store has none: for a job that is retried."""

    def __post_init__(self) -> None:
        self._check_trials()
        self._check_population(self.searcher)
        self._check_best_of()
        self._check_resumption()

    def _check_trials(self) -> None:
        if not 0 <= self.sweep_seed < 2**32:
            raise ConfigurationError(f"seed {self.seed} is out of range", "take 0 to 4294967295")
        share = self.accelerators_per_trial
        if share and not LEAST_SHARE <= share <= 1:
            raise ConfigurationError(
                f"accelerators per trial: {share:g} is out of range",
                f"take 0, or a share of {LEAST_SHARE} to 1: a trial trains on one",
            )
        if self.accelerator is not None and (not self.accelerator or self.accelerators_per_trial == 0):
            raise ConfigurationError(
                f"trials with {self.accelerators_per_trial} accelerators are to train on {self.accelerator!r}",
                "leave out --accelerator, or name a type and let them have a share of one",
            )
        if self.cpus_per_trial is not None:
            _check_cpus(self.cpus_per_trial)
        if self.time_limit is not None:
            read_duration("time limit", self.time_limit)

    def _check_population(self, searcher: Searcher | None) -> None:
        if searcher == "pbt" and self.seeds:
            raise ConfigurationError(
                "a population has no finals, since no one configuration gave its weights", "leave out --seeds"
            )
        if searcher == "pbt" and (self.grace_period is not None or self.reduction_factor is not None):
            flag = "--reduction-factor" if self.grace_period is None else "--grace-period"
            raise ConfigurationError("nothing cuts the trials of a population", f"leave out {flag}")

    def _check_best_of(self) -> None:
        if self.best_of is not None and self.searcher not in (None, "random"):
            raise ConfigurationError(
                f"--best-of {self.best_of} leaves nothing for {self.searcher} to search", "leave out --searcher"
            )
        if self.validation_share is not None and self.best_of is None:
            raise ConfigurationError(
                "every search is judged on a tenth of the training images",
                "leave out --validation-share, or add --best-of, with a finished sweep or `report`",
            )
        if self.validation_share is not None and not LEAST_VALIDATION <= self.validation_share <= VALIDATION_SHARE:
            raise ConfigurationError(
                f"a validation share of {self.validation_share:g} is out of range",
                f"take {LEAST_VALIDATION:g} to {VALIDATION_SHARE:g}",
            )
        if self.setting and self.best_of is None:
            raise ConfigurationError(
                f"{self.setting[0]!r} would change what the study searches",
                "leave out --setting, or add --best-of, with a finished sweep or `report`",
            )
        if len(self.settings) < len(self.setting):
            raise ConfigurationError(f"one of the settings {', '.join(self.setting)} is there twice", "take one")

    def _check_resumption(self) -> None:
        if self.sweep_id == PUBLISHED and not self.resume:
            raise ConfigurationError(
                f"a sweep {PUBLISHED!r} could not be named by --best-of, where that is the report's winner",
                "take another --sweep-id",
            )
        # an empty one is a variable that is not set: each retry would start a sweep of its own
        if (self.resume or self.start_or_resume) and not self.sweep_id:
            flag = "--resume" if self.resume else "--start-or-resume"
            raise ConfigurationError(f"{flag} needs to know which sweep", "add --sweep-id")
        if self.resume and self.start_or_resume:
            raise ConfigurationError(
                "--resume and --start-or-resume exclude each other",
                "take --resume for a sweep that has begun, --start-or-resume where that is not known",
            )

    @property
    def sweep_seed(self) -> int:
        """The seed; 0 where none is given."""
        return self.seed or 0

    @property
    def settings(self) -> dict[str, Any]:
        """The values in `setting`, by name; ConfigurationError where one is no setting."""
        return dict(map(parse_setting, self.setting))

    @property
    def time_limit_s(self) -> float | None:
        """The time limit in seconds; None for none."""
        return None if self.time_limit is None else read_duration("time limit", self.time_limit)

    def adapt(self, study: Study) -> Study:
        """The study, with these options applied to its budget, its finals and its searcher."""
        num_trials, max_epochs, grace_period, searcher = self.trials, self.max_epochs, self.grace_period, self.searcher
        if self.best_of is not None:
            self._check_published(study)
            # the trials have been chosen: each trains to its end, for as long as the study's finals
            num_trials = 1 if num_trials is None else num_trials
            max_epochs = study.final_epochs if max_epochs is None else max_epochs
            if grace_period is None:
                grace_period = study.budget.max_epochs if max_epochs is None else max_epochs
            searcher = "random"
        self._check_population(searcher or study.searcher)
        if searcher != "pbt":
            # pbt is set after the budget, of which a population asks more
            study = study.with_searcher(searcher)
        budgeted = study.with_budget(
            num_trials=num_trials,
            max_epochs=max_epochs,
            grace_period=grace_period,
            reduction_factor=self.reduction_factor,
        )
        if self.reduction_factor is not None and budgeted.budget.grace_period == budgeted.budget.max_epochs:
            raise ConfigurationError(
                f"ASHA cuts none of these trials, so that a reduction factor of {self.reduction_factor} does nothing",
                "leave out --reduction-factor, or add a --grace-period of fewer epochs than the most",
            )
        adapted = budgeted.with_seeds(self.seeds).with_searcher(searcher)
        if "seed" in self.settings and adapted.finalists:
            raise ConfigurationError(
                "finals have seeds of their own: a seed that is set would be theirs in no training", "take --seeds 0"
            )
        return adapted

    def _check_published(self, study: Study) -> None:
        if self.best_of == PUBLISHED and study.published is None:
            raise ConfigurationError(f"the report has no study {study.name}", "take the --best-of a finished sweep")
        if self.best_of == PUBLISHED and self.trials not in (None, 1):
            raise ConfigurationError("the report names one winner of each study", "leave out --trials")

    def to_arguments(self) -> list[str]:
        """The same options as a job's command line."""
        arguments: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            flag = "--" + field.name.replace("_", "-")
            if isinstance(value, tuple):
                arguments += [argument for each in value for argument in (flag, each)]
            elif value is True:
                arguments.append(flag)
            elif value is not False and value != field.default:
                arguments += [flag, str(value)]
        return arguments


def _check_cpus(num_cpus: float) -> None:
    """Ray schedules whole cores, or a share of one."""
    if not math.isfinite(num_cpus) or num_cpus < LEAST_SHARE or (num_cpus > 1 and num_cpus != int(num_cpus)):
        raise ConfigurationError(
            f"CPUs per trial: {num_cpus:g} is out of range",
            f"take a share of {LEAST_SHARE} to 1, or a whole number",
        )
