"""What a tuning job refuses before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cifar_ray.capacity import NodeKind
from cifar_ray.errors import CifarRayError, CredentialsError, StorageError, StoreUnavailableError
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.settings import Settings, read_settings
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.lease import Lease
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.tuning import command, preflight


def resumed(sweep_id: str, **options: Any) -> dict[str, Any]:
    return {"sweep_id": sweep_id, "resume": True} | options


def best_of(sweep_id: str, **options: Any) -> dict[str, Any]:
    return {"best_of": sweep_id} | options


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"data": "cifar100"}, "no source and no folder"),
    ({"data": "/no/such/folder"}, "there is no folder /no/such/folder"),
    ({"cpus_per_trial": 64.0, "no_cohort": True}, "no node can hold one trial"),
    ({"accelerators_per_trial": 1.0, "no_cohort": True}, "no node can hold one trial"),
    ({"storage": "gs://x"}, "unknown scheme"),
    (resumed("never-was"), "unknown sweep 'never-was'"),
    # a sweep that begins, whichever way it was asked for
    (
        {"sweep_id": "never-was", "start_or_resume": True, "accelerators_per_trial": 2.0},
        "accelerators per trial: 2 is out of range",
    ),
    ({"trials": 0}, "trials: 0 is out of range"),
    ({"sweep_id": "begun"}, "sweep 'begun' exists in"),
    (resumed("begun", seed=7), "started otherwise: seed was 0, now 7"),
    (resumed("begun", searcher="tpe"), "started otherwise: searcher was random, now tpe"),
    (resumed("begun", best_of="one", trials=1), "best_of was None, now one"),
    (resumed("begun", seeds=2), "num_seeds was 0, now 2"),
    (resumed("held"), "sweep 'held' has a driver at work on it"),
    (best_of("never-was"), "no sweep never-was has finished"),
    (best_of("begun"), "no sweep begun has finished"),
    (best_of("../x"), "sweep id '../x' is malformed"),
    (best_of("ended", trials=3), "sweep ended ranks 0 trials, not 3"),
    (best_of("report", trials=2), "the report names one winner"),
    (best_of("population"), "no one configuration gave the weights of sweep population"),
    (best_of("another"), "sweep another is of study fast, not cnn"),
    (best_of("one", setting=("learning_rate=-1",)), "learning_rate is -1.0"),
    (resumed("one-more", best_of="one", trials=1, setting=("mixup=0.1",)), "settings was cutout=8, now mixup=0.1"),
    # what no cohort can have keeps them out of one, and so do the configurations of such a sweep
    (best_of("one", setting=("label_smoothing=0.1",), cpus_per_trial=64.0), "no node can hold one trial"),
    (best_of("smoothed", cpus_per_trial=64.0), "no node can hold one trial"),
    (best_of("one", cpus_per_trial=64.0), "train together"),
    (best_of("one", validation_share=0.02, seed=3), "sweep one has held out the images of seed 0"),
    (
        resumed("twentieth", best_of="one", trials=1, validation_share=0.1),
        "validation_share was 0.05, now 0.1",
    ),
    # resumed, it says how it ended
    (resumed("ended"), "no trial of sweep ended finished an epoch"),
    (resumed("ended", trials=1), "num_trials was 2, now 1"),
]


@pytest.fixture
def store(
    tmp_path: Path, sweep_record: SweepRecord, trial_record: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FolderStore]:
    """Of sweeps that have begun or ended, as their names say."""
    monkeypatch.setitem(Lease.__init__.__kwdefaults__, "period_s", 0.05)
    store = FolderStore(tmp_path)
    runs = RunStore(store)
    begun = replace(sweep_record, accelerators_per_trial=0.0)
    for sweep_id in ("begun", "ended", "held"):
        runs.create_sweep(replace(begun, sweep_id=sweep_id))
    runs.create_sweep(replace(begun, sweep_id="population", searcher="pbt"))
    config = get_study("cnn").sample(0)[0]
    for sweep_id, each in (("one", config), ("smoothed", replace(config, label_smoothing=0.1))):
        runs.create_sweep(replace(begun, sweep_id=sweep_id))
        runs.write_trial(sweep_id, replace(trial_record, config=each.to_dict()))
    runs.create_sweep(replace(begun, sweep_id="one-more", best_of="one", changes=("cutout=8",)))
    of_fewer = replace(begun.dataset, validation_share=0.05)
    runs.create_sweep(replace(begun, sweep_id="twentieth", best_of="one", dataset=of_fewer))
    ended = SweepResult(
        sweep_id="ended",
        study="cnn",
        ranking=(),
        winner=None,
        outcomes={"failed": 2},
        num_epochs=0,
        wall_s=1.0,
        accelerator_seconds=0.0,
        finished_at="2026-01-01T00:00:01+00:00",
    )
    runs.write_result(ended)
    runs.write_result(replace(ended, sweep_id="another", study="fast"))
    runs.write_result(replace(ended, sweep_id="population"))
    for sweep_id in ("one", "smoothed"):
        runs.write_result(replace(ended, sweep_id=sweep_id, ranking=("t0000",)))
    with Lease(store, "held", say=print, on_loss=lambda: None):
        yield store


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a cluster of one node of two cores, and none of Ray's own."""
    nodes = [NodeKind(name="node", resources={"CPU": 2.0}, max_nodes=1)]
    monkeypatch.setattr(command, "read_node_kinds", lambda pools: nodes)
    monkeypatch.setattr(command, "check_every_node", lambda store: None)
    monkeypatch.delattr(command, "run_with_finals")
    return read_settings({"CIFAR_RAY_STORAGE": str(tmp_path)})


@pytest.mark.parametrize(("options", "says"), REFUSED)
def test_a_sweep_refuses_bad_input_before_anything_is_written(
    store: FolderStore, settings: Settings, options: dict[str, Any], says: str
) -> None:
    before = store.keys()
    with pytest.raises(CifarRayError) as caught:
        command.run_job(get_study("cnn"), SweepOptions(**({"data": "shapes:100"} | options)), settings)
    assert says in caught.value.message
    assert caught.value.hint
    assert store.keys() == before


class Booting(FolderStore):
    """A store that does not answer its first two calls."""

    kind: type[StorageError] = StoreUnavailableError
    calls = 0

    def sizes(self, prefix: str = "") -> dict[str, int]:
        self.calls += 1
        if self.calls <= 2:
            raise self.kind("no answer", "see whether it runs")
        return super().sizes(prefix)


@pytest.mark.parametrize(
    ("options", "kind", "is_refused"),
    [
        ({"start_or_resume": True}, StoreUnavailableError, False),
        ({}, StoreUnavailableError, True),
        ({"start_or_resume": True}, CredentialsError, True),
        ({"start_or_resume": True}, StorageError, True),
    ],
)
def test_a_job_that_is_retried_waits_for_a_store_that_is_not_up_yet(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    kind: type[StorageError],
    is_refused: bool,
) -> None:
    monkeypatch.setattr(command, "STORE_PERIOD_S", 0.0)
    monkeypatch.setattr(Booting, "kind", kind)
    monkeypatch.setattr(command, "open_store", lambda *_: Booting(tmp_path))
    monkeypatch.setattr(command, "read_node_kinds", lambda pools: [])
    monkeypatch.setattr(preflight, "ray", SimpleNamespace(nodes=list))
    settings = read_settings({"CIFAR_RAY_STORAGE": str(tmp_path)})
    with pytest.raises(CifarRayError) as caught:
        command.run_job(get_study("cnn"), SweepOptions(sweep_id="cnn-1", data="shapes:100", **options), settings)
    # there are no nodes
    assert (caught.value.message == "no answer") is is_refused
    assert ("the store is tried for 10 minutes: no answer\n" in capsys.readouterr().out) is not is_refused
