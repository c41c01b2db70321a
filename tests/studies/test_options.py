from contextlib import suppress
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies import STUDIES
from cifar_ray.studies.flags import sweep_flags
from cifar_ray.studies.options import SweepOptions


def parse(arguments: list[str]) -> SweepOptions:
    """What a command with the flags of a sweep gets."""
    got: list[SweepOptions] = []
    command = click.command()(sweep_flags(lambda options: got.append(options)))
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return got[0]


@pytest.mark.parametrize(
    "options",
    [
        SweepOptions(),
        SweepOptions(trials=3, max_epochs=2, data="shapes", storage="s3://abc/x", seed=7),
        SweepOptions(accelerators_per_trial=0.25, cpus_per_trial=2.0, sweep_id="my-sweep", resume=True),
        SweepOptions(accelerators_per_trial=0.0),
        SweepOptions(accelerator="H100"),
        SweepOptions(max_epochs=8, grace_period=8),
        SweepOptions(reduction_factor=8),
        SweepOptions(seed=0),
        SweepOptions(sweep_id="my-sweep", start_or_resume=True),
        SweepOptions(searcher="bohb-style"),
        SweepOptions(time_limit="1h30m"),
        SweepOptions(best_of="cnn-1", seeds=0),
        SweepOptions(best_of="cnn-1", validation_share=0.02),
        SweepOptions(best_of="cnn-1", setting=("cutout=8", "averaging=ema")),
    ],
)
def test_a_job_gets_the_options_that_were_submitted(options: SweepOptions) -> None:
    assert parse(options.to_arguments()) == options


@given(
    seed=st.integers(),
    accelerators=st.none() | st.floats(max_value=1.0),
    cpus=st.none() | st.floats(),
    limit=st.none() | st.text(alphabet="0123456789.dhms", max_size=6),
    sweep_id=st.none() | st.text(alphabet="ab-", min_size=1, max_size=4),
    resume=st.booleans(),
)
def test_any_options_are_refused_or_reach_the_job(
    seed: int, accelerators: float | None, cpus: float | None, limit: str | None, sweep_id: str | None, resume: bool
) -> None:
    with suppress(ConfigurationError):
        options = SweepOptions(
            seed=seed,
            accelerators_per_trial=accelerators,
            cpus_per_trial=cpus,
            time_limit=limit,
            sweep_id=sweep_id,
            resume=resume,
        )
        assert parse(options.to_arguments()) == options


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"accelerators_per_trial": 1.5},
        {"accelerators_per_trial": 2.0, "sweep_id": "cnn-1", "resume": True},
        {"accelerators_per_trial": -0.5},
        {"accelerators_per_trial": 0.00005},
        {"accelerator": "H100", "accelerators_per_trial": 0.0},
        {"accelerator": ""},
        {"cpus_per_trial": 0.0},
        {"cpus_per_trial": 0.00005},
        {"cpus_per_trial": float("nan")},
        {"resume": True},
        {"resume": True, "sweep_id": ""},
        {"start_or_resume": True, "sweep_id": ""},
        {"start_or_resume": True},
        {"sweep_id": "report"},
        {"sweep_id": "report", "start_or_resume": True},
        {"time_limit": "soon"},
        {"best_of": "cnn-1", "searcher": "tpe"},
        {"validation_share": 0.02},
        {"setting": ("cutout=8",)},
        {"best_of": "cnn-1", "setting": ("cutout=8", "cutouts=8")},
        {"best_of": "cnn-1", "setting": ("cutout=8", "cutout=12")},
        {"best_of": "cnn-1", "validation_share": 0.0},
        {"best_of": "cnn-1", "validation_share": 0.11},
        {"best_of": "cnn-1", "validation_share": float("nan")},
        {"searcher": "pbt", "seeds": 2},
        {"searcher": "pbt", "grace_period": 2},
        {"searcher": "pbt", "reduction_factor": 2},
    ],
)
def test_options_out_of_range(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SweepOptions(**bad)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(("study", "num_trials", "says"), [("fast", 1, "has no study fast"), ("cnn", 2, "one winner")])
def test_the_report_has_one_winner_of_each_of_its_studies(study: str, num_trials: int, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        SweepOptions(best_of="report", trials=num_trials).adapt(STUDIES[study])


def test_the_best_of_another_sweep_are_one_unless_more_are_asked_for() -> None:
    study = STUDIES["cnn"].with_searcher("tpe")
    winner = SweepOptions(best_of="cnn-1").adapt(study)
    assert (winner.budget.num_trials, winner.searcher) == (1, "random")
    assert (winner.budget.grace_period, winner.budget.max_epochs) == (30, 30), "it has been chosen: nothing cuts it"
    longer = SweepOptions(best_of="fast-1").adapt(STUDIES["fast"])
    assert (longer.budget.grace_period, longer.budget.max_epochs) == (8, 8), "as long as the study's finals"
    several = SweepOptions(best_of="cnn-1", trials=3, max_epochs=9).adapt(study)
    assert (several.budget.num_trials, several.budget.grace_period) == (3, 9)
    assert SweepOptions(best_of="cnn-1", trials=3, grace_period=2).adapt(study).budget.grace_period == 2
    with pytest.raises(ConfigurationError, match="trials: 0"):
        SweepOptions(best_of="cnn-1", trials=0).adapt(study)
    assert SweepOptions(seeds=4).adapt(study).seeds == 4


def test_a_sweep_that_took_the_name_of_the_reports_winner_earlier_can_be_resumed() -> None:
    assert SweepOptions(sweep_id="report", resume=True).sweep_id == "report"


@pytest.mark.parametrize("bad", [{"validation_share": 0.02}, {"setting": ("cutout=8",)}])
def test_options_of_given_configurations_name_both_kinds(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as error:
        SweepOptions(**bad)  # type: ignore[arg-type]  # as above
    assert "a finished sweep or `report`" in str(error.value.hint)


def test_a_seed_that_is_set_is_not_that_of_finals() -> None:
    options = SweepOptions(best_of="fast-1", setting=("seed=7",))
    with pytest.raises(ConfigurationError, match="finals"):
        options.adapt(STUDIES["fast"])
    assert replace(options, seeds=0).adapt(STUDIES["fast"]).finalists == 0


def test_a_study_may_be_of_a_population_and_its_options_are_those_of_any_other() -> None:
    study = STUDIES["cnn"].with_searcher("pbt")
    longer = SweepOptions(trials=40, max_epochs=50).adapt(study)
    assert (longer.trial_budget.num_trials, longer.trial_budget.max_epochs) == (40, 10)
    assert SweepOptions(searcher="random").adapt(study).trial_budget == STUDIES["cnn"].budget
    assert SweepOptions(best_of="cnn-1").adapt(study).trial_budget.num_trials == 1
    assert SweepOptions(searcher="pbt", trials=20).adapt(STUDIES["cnn-depth"]).trial_budget.num_trials == 20
    for asked in (SweepOptions(seeds=2), SweepOptions(grace_period=2), SweepOptions(reduction_factor=3)):
        with pytest.raises(ConfigurationError, match=r"no finals|nothing cuts") as error:
            asked.adapt(study)
        assert str(error.value.hint).startswith("leave out --"), "as with --searcher pbt"
        replace(asked, searcher="random").adapt(study)


def test_another_reduction_factor_is_refused_where_nothing_is_cut() -> None:
    assert SweepOptions(reduction_factor=3).adapt(STUDIES["cnn"]).budget.reduction_factor == 3
    with pytest.raises(ConfigurationError, match="does nothing"):
        SweepOptions(reduction_factor=3).adapt(STUDIES["fast"])
    with pytest.raises(ConfigurationError, match="reduction factor: 1 is out of range"):
        SweepOptions(reduction_factor=1).adapt(STUDIES["cnn"])
