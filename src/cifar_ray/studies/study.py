"""Defines a study: what is searched, what is held fixed, within which budget."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.space import SearchSpace, sample_space
from cifar_ray.studies.trial_config import DEFAULTS, MAX_EPOCHS, TrialConfig, settings_where

Searcher = Literal["random", "tpe", "bohb-style", "pbt"]
"""What chooses the configurations: chance, a model of how earlier trials did, or a population that hands on its best
weights (docs/searchers.md)."""

SHARE_AT_ONCE = 4
"""Where a model chooses, one in this many trials trains at once, so that later ones can learn from earlier ones."""
GENERATIONS = 5
"""Generations of a population; each of its trials trains for one."""
MIN_POPULATION = 4
"""A smaller population has no best quarter and no worst one."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,37}")
"""Of a study, and so of its file. The id of a sweep, which has up to 63 characters, is that, a time and a number."""
VALIDATION_SHARE = 0.1
"""Share of the training images held out for validation in every search."""
LEAST_SHARE = 0.0001
"""Of an accelerator or core: Ray takes less for none, and a plan for more trials at once than it can simulate."""
MAX_TRIALS = 100_000
MAX_FINALISTS = MAX_SEEDS = 100
FINALISTS = 2
"""Finalists of a study that has no finals of its own and is given some."""
SETTINGS = settings_where(lambda setting: True) - {"max_epochs"}
"""What a study may search or fix; its budget has the epochs."""
NOT_IN_COHORTS = settings_where(lambda setting: not setting.in_cohorts)
ADJUSTABLE = settings_where(lambda setting: setting.is_adjustable)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a sweep may spend, and how ASHA (Li et al. 2018) spends it."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    num_trials: int
    max_epochs: int
    """The most epochs of one trial."""
    grace_period: int = 1
    """Epochs that every trial gets."""
    reduction_factor: int = 4
    """Of the trials that reach a rung, one in this many goes on."""

    def __post_init__(self) -> None:
        _check_range("trials", self.num_trials, 1, MAX_TRIALS)
        _check_range("max epochs", self.max_epochs, 1, MAX_EPOCHS)
        _check_range("grace period", self.grace_period, 1, self.max_epochs)
        _check_range("reduction factor", self.reduction_factor, 2, MAX_TRIALS)


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """The report's result for a study. Accuracies are fractions."""

    column: str
    """The report's name of the study in its table of test accuracies."""
    validation_accuracy: float
    test_accuracy: float
    accuracy_by_class: Mapping[str, float]
    winner: Mapping[str, Any]
    """The settings that the report names; others are absent."""
    epoch: int | None
    """Epochs after which the best validation accuracy was reached; None where the report does not say."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search space, fixed settings, a budget and what one trial asks of the cluster."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    title: str
    space: SearchSpace
    fixed: Mapping[str, Any]
    """TrialConfig fields that every trial shares."""
    budget: Budget
    accelerators_per_trial: float = 1
    """Share of an accelerator that a trial takes on a cluster that has any."""
    searcher: Searcher = "random"
    """What chooses the configurations."""
    is_cohort: bool = False
    """Whether its trials train together, as one network on shared batches: small models of one shape."""
    published: PublishedResult | None = None
    finalists: int = 0
    """How many of the best configurations are retrained once ASHA has ended, each on `seeds` seeds; 0 for none."""
    seeds: int = 0
    """Seeds per finalist; each sets weights, order of batches and augmentation alike (docs/winners.md)."""
    final_epochs: int | None = None
    """Epochs of each training in the finals: more than the budget's if the search trains briefly. None: as many."""
    definition: str | None = None
    """The text of the file that defines it (study_file.py); None of the package's own."""

    def __post_init__(self) -> None:
        _check_range("finalists", self.finalists, 0, MAX_FINALISTS)
        _check_range("seeds", self.seeds, min(1, self.finalists), MAX_SEEDS)
        if self.seeds and not self.finalists:
            raise ConfigurationError(f"study {self.name}: seeds without finalists make no finals", "name the finalists")
        if self.final_epochs is not None:
            _check_range("final epochs", self.final_epochs, 1, MAX_EPOCHS)
        if not LEAST_SHARE <= self.accelerators_per_trial <= 1:
            raise ConfigurationError(
                f"study {self.name}: {self.accelerators_per_trial:g} accelerators per trial are out of range",
                f"take a share of {LEAST_SHARE} to 1: a trial trains on one",
            )
        if self.searcher not in get_args(Searcher):
            raise ConfigurationError(
                f"study {self.name}: unknown searcher {self.searcher!r}", f"take {', '.join(get_args(Searcher))}"
            )
        for names in (self.space, self.fixed):
            if unknown := sorted(set(names) - SETTINGS):
                raise ConfigurationError(f"study {self.name}: unknown settings {', '.join(unknown)}")
        if not self.space:
            raise ConfigurationError(f"study {self.name}: its space is empty", "search one setting or more")
        if both := sorted(set(self.space) & set(self.fixed)):
            raise ConfigurationError(f"study {self.name}: searched and fixed at once: {', '.join(both)}")
        if self.searcher == "pbt":
            self._check_population()
        if self.is_cohort and (alone := self._alone()):
            raise ConfigurationError(
                f"study {self.name}: no cohort has {', '.join(alone)}", "train the trials individually"
            )

    @property
    def job(self) -> tuple[str, ...]:
        """The file under jobs/ that runs it, and what that takes to know it."""
        return (f"tune_{self.name.replace('-', '_')}.py",) if self.definition is None else ("tune_own.py", self.name)

    @property
    def trial_budget(self) -> Budget:
        """The budget of a sweep's trials. In a population each of them trains for one generation, and none is cut.

        A generation has a fifth of the epochs; the number of trials is rounded down to whole generations.
        """
        if self.searcher != "pbt":
            return self.budget
        num_trials = self.budget.num_trials // GENERATIONS * GENERATIONS
        epochs = self.budget.max_epochs // GENERATIONS
        return replace(self.budget, num_trials=num_trials, max_epochs=epochs, grace_period=epochs)

    @property
    def trials_at_once(self) -> int:
        """The most trials that its searcher lets train at once."""
        return trials_at_once(self.searcher, self.budget.num_trials)

    def _check_population(self) -> None:
        fewest = MIN_POPULATION * GENERATIONS
        if self.budget.num_trials < fewest or self.budget.max_epochs < GENERATIONS:
            raise ConfigurationError(
                f"{self.budget.num_trials} trials of {self.budget.max_epochs} epochs do not make {GENERATIONS} "
                f"generations of a population of {MIN_POPULATION} or more",
                f"take {fewest} trials and {GENERATIONS} epochs, or more: by --trials and --max-epochs or, where a "
                "study file sets pbt, in that file",
            )
        if self.finalists:
            raise ConfigurationError(
                f"study {self.name}: a population has no finals, since no one configuration gave its weights",
                "add --seeds 0 or, where a study file sets pbt, leave out its finalists and seeds",
            )
        if not ADJUSTABLE & set(self.space):
            raise ConfigurationError(
                f"study {self.name}: its space has nothing that can change within a training",
                f"search one of {', '.join(sorted(ADJUSTABLE))}",
            )

    def _alone(self) -> list[str]:
        """Its settings, optimisers and models that no cohort can have."""
        alone = sorted(NOT_IN_COHORTS & {*self.space, *self.fixed})
        optimizers, models = (
            getattr(self.space.get(name), "values", (self.fixed.get(name),)) for name in ("optimizer", "model")
        )
        # a file's values are not checked yet, and may be of any type
        others = {each for each in models if isinstance(each, str)} - {"classic_cnn"}
        return alone + ["muon"] * ("muon" in optimizers) + sorted(others)

    def with_budget(
        self,
        *,
        num_trials: int | None = None,
        max_epochs: int | None = None,
        grace_period: int | None = None,
        reduction_factor: int | None = None,
    ) -> Study:
        """The same study with another budget; None keeps the study's own.

        `max_epochs` sets the epochs of its finals, too, and bounds its grace period; a study that cuts no trial still
        cuts none.
        """
        own = self.budget
        epochs = own.max_epochs if max_epochs is None else max_epochs
        if grace_period is None:
            cuts_none = own.grace_period == own.max_epochs
            grace_period = max(1, epochs if cuts_none else min(own.grace_period, epochs))
        budget = replace(
            own,
            num_trials=own.num_trials if num_trials is None else num_trials,
            max_epochs=epochs,
            grace_period=grace_period,
            reduction_factor=own.reduction_factor if reduction_factor is None else reduction_factor,
        )
        return replace(self, budget=budget, final_epochs=self.final_epochs if max_epochs is None else None)

    def with_seeds(self, seeds: int | None) -> Study:
        """The same study with finals on so many seeds, 0 for no finals; None keeps the study's own."""
        if seeds is None:
            return self
        _check_range("seeds", seeds, 0, MAX_SEEDS)
        return replace(self, seeds=seeds, finalists=(self.finalists or FINALISTS) if seeds else 0)

    def with_searcher(self, searcher: Searcher | None) -> Study:
        """The same study with another searcher, without finals for pbt; None keeps the study's own."""
        if searcher == "pbt":
            return replace(self, searcher=searcher, finalists=0, seeds=0, final_epochs=None)
        return replace(self, searcher=self.searcher if searcher is None else searcher)

    def configure(self, searched: Mapping[str, Any]) -> TrialConfig:
        """A complete configuration from a value for every setting of the space."""
        return TrialConfig(**self.fixed, **searched, max_epochs=self.trial_budget.max_epochs)

    def sample(self, seed: int) -> list[TrialConfig]:
        """The configurations of a sweep: the budget's number of independent draws.

        The first n draws of a seed are the same whatever the number of trials.
        """
        rng = random.Random(f"{self.name}:{seed}")
        return [self.configure(sample_space(self.space, rng)) for _ in range(self.trial_budget.num_trials)]


def trials_at_once(searcher: Searcher, num_trials: int) -> int:
    """The most of a sweep's trials that a searcher lets train at once."""
    if searcher == "pbt":
        return num_trials // GENERATIONS
    return num_trials if searcher == "random" else max(1, num_trials // SHARE_AT_ONCE)


def fits_cohort(config: TrialConfig) -> bool:
    """Whether a trial with this configuration can train in a cohort."""
    is_usual = all(getattr(config, name) == DEFAULTS[name] for name in NOT_IN_COHORTS)
    return config.model == "classic_cnn" and config.optimizer != "muon" and is_usual


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{name}: {value} is out of range", f"take {low} to {high}")
