from dataclasses import replace

import pytest

from cifar_ray.records import SweepRecord, SweepResult, TestScores, TrialRecord
from cifar_ray.reporting.trial_cache import TrialCache
from cifar_ray.storage import layout
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore


class CountingStore(FolderStore):
    num_reads = 0

    def read(self, key: str) -> bytes:
        self.num_reads += 1
        return super().read(key)


def test_ended_trials_are_read_once_and_running_ones_each_time(runs: RunStore, trial_record: TrialRecord) -> None:
    store = CountingStore(runs.objects._root)  # type: ignore[attr-defined]
    cached = RunStore(TrialCache(store))
    runs.write_trial("cnn-1", trial_record)
    runs.write_trial("cnn-1", replace(trial_record, trial_id="t0001", outcome="running"))
    for _ in range(3):
        assert [trial.outcome for trial in cached.trials("cnn-1")] == ["completed", "running"]
    assert store.num_reads == 1 + 3


def test_a_change_is_seen(runs: RunStore, trial_record: TrialRecord) -> None:
    cached = RunStore(TrialCache(runs.objects))
    changing = replace(trial_record, outcome="running")
    for outcome in ("running", "failed", "running", "completed"):
        runs.write_trial("cnn-1", changing := replace(changing, outcome=outcome))  # type: ignore[arg-type]
        assert cached.trials("cnn-1") == [changing]


def test_a_trial_that_failed_again_in_a_resumed_sweep_is_seen(runs: RunStore, trial_record: TrialRecord) -> None:
    cached = RunStore(TrialCache(runs.objects))
    for node in ("10.0.0.1", "10.0.0.2"):
        runs.write_trial("cnn-1", failed := replace(trial_record, outcome="failed", node=node))
        assert cached.trials("cnn-1") == [failed], "of as many bytes as the former one's"


def test_an_evaluated_sweep_is_read_once_but_for_its_record_and_scores(
    runs: RunStore, sweep_record: SweepRecord, result: SweepResult, scores: TestScores
) -> None:
    store = CountingStore(runs.objects._root)  # type: ignore[attr-defined]
    cached = RunStore(TrialCache(store))
    runs.create_sweep(sweep_record)
    runs.write_result(result)
    assert cached.summary("cnn-1").state == "finished"
    runs.write_test_scores(scores)
    for _ in range(2):
        assert cached.summary("cnn-1") == runs.summary("cnn-1")
    before = store.num_reads
    assert cached.summary("cnn-1").state == "evaluated"
    assert store.num_reads == before + 2
    for seconds in (200.0, 300.0):
        # evaluated anew, after a result that was mended
        runs.write_result(replace(result, wall_s=seconds))
        runs.write_test_scores(replace(scores, loss=seconds))
        assert cached.summary("cnn-1").scores == runs.summary("cnn-1").scores
        assert cached.summary("cnn-1") == runs.summary("cnn-1")
    runs.objects.delete(layout.test_scores("cnn-1"))
    assert cached.summary("cnn-1").state == "finished"
    runs.objects.delete(layout.result("cnn-1"))
    assert cached.summary("cnn-1").state == "interrupted", "its deletion broke off"


def test_a_sweep_that_takes_the_id_anew_is_seen(
    runs: RunStore, sweep_record: SweepRecord, result: SweepResult, scores: TestScores, trial_record: TrialRecord
) -> None:
    cached = RunStore(TrialCache(runs.objects))
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", replace(trial_record, num_epochs=3))
    runs.write_result(result)
    runs.write_test_scores(scores)
    for _ in range(2):
        assert cached.summary("cnn-1").state == "evaluated"
        assert cached.trials("cnn-1")[0].num_epochs == 3
    for key in runs.objects.keys("cnn-1"):
        runs.objects.delete(key)
    runs.create_sweep(replace(sweep_record, started_at="2026-02-01T00:00:00+00:00"))
    runs.write_trial("cnn-1", replace(trial_record, num_epochs=4))
    assert cached.summary("cnn-1").state == "interrupted"
    assert cached.trials("cnn-1")[0].num_epochs == 4, "of as many bytes as the former one's"


def test_it_only_reads(runs: RunStore) -> None:
    cache = TrialCache(runs.objects)
    with pytest.raises(PermissionError):
        cache.write("cnn-1/sweep.json", b"")
    with pytest.raises(PermissionError):
        cache.delete("cnn-1/sweep.json")
