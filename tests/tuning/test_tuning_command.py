"""What a job makes of its options, up to where Ray Tune would begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cifar_ray.capacity import NodeKind
from cifar_ray.data.sources import load_images
from cifar_ray.data.split import split
from cifar_ray.errors import ConfigurationError
from cifar_ray.finals import Finalist, Finals, Retraining
from cifar_ray.provenance import now
from cifar_ray.records import SweepResult, TrialRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.studies.study_file import parse_study
from cifar_ray.tuning import command
from cifar_ray.tuning.sweep import SweepPlan

Planned = Callable[..., SweepPlan]


class BeginsError(Exception):
    """Here the first trial would start."""


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The plan of a sweep of a study, which may be the package's by its name, on two nodes of eight cores."""
    plans: list[SweepPlan] = []
    (prices := tmp_path / "prices.toml").write_text('currency = "EUR"\n[CPU]\non_demand = 0.05\n')
    settings = read_settings({"CIFAR_RAY_STORAGE": str(tmp_path), "CIFAR_RAY_PRICES": str(prices)})
    nodes = [NodeKind(name="node", resources={"CPU": 8.0}, max_nodes=2)]

    def begin(plan: SweepPlan, *others: object) -> None:
        plans.append(plan)
        raise BeginsError

    monkeypatch.setattr(command, "read_node_kinds", lambda pools: nodes)
    monkeypatch.setattr(command, "check_every_node", lambda store: None)
    monkeypatch.setattr(command, "run_with_finals", begin)

    def plan_of(study: str | Study, **options: object) -> SweepPlan:
        asked = SweepOptions(data="shapes:200", **options)  # type: ignore[arg-type]
        with pytest.raises(BeginsError):
            command.run_job(get_study(study) if isinstance(study, str) else study, asked, settings)
        return plans[-1]

    return plan_of


def test_a_seed_is_of_the_configurations_and_of_the_split(planned: Planned) -> None:
    images = load_images("shapes:200", "train", read_settings({}))
    for seed in (7, 8):
        plan = planned("cnn", seed=seed)
        assert plan.sweep.seed == seed
        assert plan.configs == get_study("cnn").sample(seed)
        assert np.array_equal(plan.data.validation.pixels, split(images, seed).validation.pixels)
    assert not np.array_equal(plan.data.validation.pixels, split(images, 7).validation.pixels)


def test_what_is_asked_of_the_sweep_as_a_whole_is_in_its_plan(
    planned: Planned, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    plan = planned("cnn", sweep_id="one", trials=1, max_epochs=1, keep="winner", time_limit="10m")
    assert "sweep one: 1 trial of cnn, at most 1 epoch, 1 at once" in capsys.readouterr().out
    assert plan.keep == "winner"
    assert plan.ends_at is not None
    assert began + 600 <= plan.ends_at < time.monotonic() + 600
    assert plan.prices is not None
    assert plan.prices.currency == "EUR"
    assert plan.study is None, "its trials are all known"


def test_the_log_says_as_how_many_networks_trials_train(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    for trials, says in ((8, "8 at once as one network, "), (40, "32 at once as 2 networks, ")):
        planned("cnn", trials=trials)
        assert says in capsys.readouterr().out
    planned("cnn", no_cohort=True)
    assert "16 at once, " in capsys.readouterr().out


def test_a_searcher_that_learns_trains_few_at_once(planned: Planned) -> None:
    assert planned("cnn", no_cohort=True).max_concurrent_trials == 16
    plan = planned("cnn", no_cohort=True, searcher="tpe")
    assert plan.max_concurrent_trials == get_study("cnn").budget.num_trials // 4
    assert plan.study is not None


def test_finals_have_the_studys_epochs(planned: Planned) -> None:
    plan = planned("fast")
    assert plan.sweep.final_epochs == get_study("fast").final_epochs
    assert plan.finals is not None
    assert planned("fast", seeds=0).finals is None


def test_a_study_whose_file_has_changed_goes_on_as_it_began(
    planned: Planned, capsys: pytest.CaptureFixture[str]
) -> None:
    own = """title = "Mine"
        [budget]
        num_trials = 4
        max_epochs = 3
        [space]
        dropout = [0.0, 0.25]
        [fixed]
        model = "classic_cnn"
        optimizer = "sgd"
        learning_rate = 0.01
        weight_decay = 0
        batch_size = 32
    """
    begun = planned(parse_study("tiny", own), sweep_id="tiny-1")
    changed = parse_study("tiny", own.replace("0.01", "0.02"))
    resumed = planned(changed, sweep_id="tiny-1", resume=True)
    assert "tiny.toml has changed since tiny-1 began" in capsys.readouterr().out
    assert (resumed.sweep.definition, resumed.configs) == (own, begun.configs)
    with pytest.raises(ConfigurationError, match="began with another definition of tiny"):
        planned(changed, sweep_id="tiny-1", start_or_resume=True)
    planned(parse_study("tiny", own), sweep_id="tiny-1", resume=True)
    assert "has changed" not in capsys.readouterr().out


@pytest.mark.parametrize("study", ["cnn", "resnet"])
def test_a_finished_sweep_gets_more_trials(
    study: str, planned: Planned, tmp_path: Path, trial_record: TrialRecord, sweep_result: SweepResult
) -> None:
    runs = RunStore(FolderStore(tmp_path))
    begun = planned(study, trials=4, sweep_id="s-1", seed=3)
    for index, config in enumerate(begun.configs):
        runs.write_trial("s-1", replace(trial_record, trial_id=f"t{index:04d}", config=config.to_dict()))
    runs.write_result(replace(sweep_result, sweep_id="s-1", study=study))
    with pytest.raises(ConfigurationError, match="num_trials was 4, now 3"):
        planned(study, trials=3, sweep_id="s-1", resume=True)
    with pytest.raises(ConfigurationError, match="num_trials was 4, now 6"):
        planned(study, trials=6, sweep_id="s-1", start_or_resume=True)
    with pytest.raises(ConfigurationError, match="seed was 3, now 4"):
        planned(study, trials=6, sweep_id="s-1", resume=True, seed=4)
    assert (runs.result("s-1") is None, runs.sweep("s-1").num_trials) == (False, 4), "refused, and nothing changed"

    more = planned(study, trials=6, sweep_id="s-1", resume=True)
    assert (more.sweep.num_trials, more.configs[:4]) == (6, begun.configs)
    assert (runs.result("s-1"), runs.sweep("s-1").num_trials) == (None, 6)
    assert len(runs.sweep("s-1").resumptions) == 1
    assert planned(study, sweep_id="s-1", resume=True).sweep.num_trials == 6, "from now on"


def test_a_winner_is_trained_for_longer_on_more_images(planned: Planned, tmp_path: Path) -> None:
    runs = RunStore(FolderStore(tmp_path))
    searched = planned("fast", sweep_id="searched")
    winner = searched.configs[3]
    trial = TrialRecord(trial_id="t0003", config=winner.to_dict(), outcome="completed")
    runs.write_trial("searched", trial)
    runs.write_result(
        SweepResult(
            sweep_id="searched",
            study="fast",
            ranking=("t0003",),
            winner=trial,
            outcomes={"completed": 1},
            num_epochs=1,
            wall_s=1.0,
            accelerator_seconds=0.0,
            finished_at=now(),
        )
    )
    setting = ("cutout=4",)
    longer = planned("fast", best_of="searched", max_epochs=7, seeds=0, validation_share=0.02, setting=setting)
    assert longer.configs == [replace(winner, max_epochs=7, cutout=4)]
    assert longer.finals is None
    assert (longer.sweep.best_of, longer.sweep.changes, longer.sweep.dataset.num_train) == ("searched", setting, 190)


def test_a_setting_without_effect_is_refused(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    adam = next(each for each in get_study("cnn").sample(0) if each.optimizer == "adam")
    monkeypatch.setattr(command, "read_best", lambda *arguments: [adam])
    with pytest.raises(ConfigurationError, match="nesterov"):
        planned("cnn", best_of="cnn-1", setting=("nesterov=true",))


@pytest.mark.parametrize(
    ("study", "options", "says"),
    [
        ("fast", {"seeds": 0}, "each trial has 1, with --cpus-per-trial 2 it has 2"),
        ("fast", {"seeds": 0, "cpus_per_trial": 1.0}, None),
        ("fast", {"seeds": 0, "trials": 9}, None),
        ("cnn", {"no_cohort": True, "trials": 2}, None),
    ],
)
def test_cores_that_stand_idle_are_named(
    study: str, options: dict[str, object], says: str | None, planned: Planned, capsys: pytest.CaptureFixture[str]
) -> None:
    planned(study, **options)
    said = capsys.readouterr().out
    assert ("cores stand idle" in said) == (says is not None)
    assert says is None or says in said


def test_the_best_of_a_search_is_not_called_the_winner_where_finals_chose(
    sweep_result: SweepResult, trial_record: TrialRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = Retraining(trial_id="t0000", seed=1, outcome="completed", best_epoch=2, best_validation_accuracy=0.5)
    chosen = Finalist(trial_id="t0001", searched_accuracy=0.4, retrainings=(trained,))
    finals = Finals(finalists=(chosen,), num_epochs=2, accelerator_seconds=0.0)
    for result in (
        replace(sweep_result, winner=trial_record),
        replace(sweep_result, winner=trial_record, finals=finals),
    ):
        command._say_result(result, "a store", SweepOptions(storage="a store"))
        said = capsys.readouterr().out
        assert ("\nwinner t0000: " in said) == (result.finals is None)
        assert ("\nbest of the search t0000: " in said) == ("\nfinals: t0001 wins" in said) == bool(result.finals)


@pytest.mark.parametrize(
    ("address", "command_line"),
    [("auto", "cifar-ray job submit evaluate"), (None, "python jobs/evaluate_best.py")],
)
def test_the_last_line_says_how_to_score_the_winner_on_what_it_ran_on(
    address: str | None,
    command_line: str,
    sweep_result: SweepResult,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    command._say_result(sweep_result, "a store", SweepOptions(storage="a store"))
    said = capsys.readouterr().out
    assert said.endswith(f"next: `{command_line} cnn-1 --storage 'a store'` scores it once on the test set\n")
