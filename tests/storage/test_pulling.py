from dataclasses import replace
from pathlib import Path

import pytest

from cifar_ray.errors import ConfigurationError, StoreUnavailableError
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.pulling import pull_sweep
from cifar_ray.storage.runs import RunStore


@pytest.mark.parametrize(("with_checkpoints", "num_files"), [(False, 1), (True, 2)])
def test_a_copy_has_no_lease(
    runs: RunStore, sweep_record: SweepRecord, tmp_path: Path, with_checkpoints: bool, num_files: int
) -> None:
    """It must not look as if it ran, and whoever holds the lease is at work on the store."""
    runs.create_sweep(sweep_record)
    for name in ("lease.json", "trials/t0000/checkpoints/epoch-0001/x"):
        runs.objects.write(f"cnn-1/{name}", b"{}")
    assert pull_sweep(runs, "cnn-1", tmp_path / "copy", with_checkpoints=with_checkpoints) == num_files
    copied = FolderStore(tmp_path / "copy").keys()
    assert ("cnn-1/sweep.json" in copied, "cnn-1/lease.json" in copied) == (True, False)


def test_a_checkpoint_that_goes_while_the_sweep_is_copied_is_left_out(
    runs: RunStore, sweep_record: SweepRecord, tmp_path: Path
) -> None:
    old, new = (f"cnn-1/trials/t0000/checkpoints/epoch-000{epoch}/manifest.json" for epoch in (1, 2))

    class Pruned(FolderStore):
        def sizes(self, prefix: str = "") -> dict[str, int]:
            found = super().sizes(prefix)
            self.delete(old)
            return found

    runs.create_sweep(sweep_record)
    for key in (old, new):
        runs.objects.write(key, b"{}")
    assert pull_sweep(RunStore(Pruned(tmp_path / "store")), "cnn-1", tmp_path / "copy", with_checkpoints=True) == 2
    assert FolderStore(tmp_path / "copy").keys() == ["cnn-1/sweep.json", new]


def test_a_copy_that_is_cut_off_is_no_sweep(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, tmp_path: Path
) -> None:
    """It would be read as one of fewer trials."""

    class Leaving(FolderStore):
        def read(self, key: str) -> bytes:
            if "t0001" in key:
                raise StoreUnavailableError("gone")
            return super().read(key)

    runs.create_sweep(sweep_record)
    for trial_id in ("t0000", "t0001"):
        runs.write_trial("cnn-1", replace(trial_record, trial_id=trial_id))
    with pytest.raises(StoreUnavailableError):
        pull_sweep(RunStore(Leaving(tmp_path / "store")), "cnn-1", tmp_path / "copy")
    copied = RunStore(FolderStore(tmp_path / "copy"))
    assert copied.trials("cnn-1")
    assert not copied.has_sweep("cnn-1")
    copied.write_trial("cnn-1", replace(trial_record, trial_id="t0009"))
    with pytest.raises(ConfigurationError, match="copy has another sweep cnn-1, with cnn-1/trials/t0009/trial"):
        pull_sweep(runs, "cnn-1", tmp_path / "copy")
    copied.objects.delete("cnn-1/trials/t0009/trial.json")
    assert pull_sweep(runs, "cnn-1", tmp_path / "copy") == 3


def test_a_copy_is_renewed_but_takes_no_other_sweep_of_its_id(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, tmp_path: Path
) -> None:
    """A name is used again once its sweep has been deleted: of the two together, each record would be true alone."""
    copies = RunStore(FolderStore(tmp_path / "copy"))
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", trial_record)
    runs.objects.write("cnn-1/trials/t0000/checkpoints/epoch-0001/x", b"x")
    assert pull_sweep(runs, "cnn-1", tmp_path / "copy", with_checkpoints=True) == 3
    copies.objects.write("cnn-1/sweep.json", b"")
    assert pull_sweep(runs, "cnn-1", tmp_path / "copy") == 2
    assert copies.objects.keys() == runs.objects.keys(), "checkpoints that it has stay"
    runs.objects.delete("cnn-1/sweep.json")
    runs.create_sweep(replace(sweep_record, started_at="2027-01-01T00:00:00+00:00"))
    with pytest.raises(ConfigurationError, match="copy has another sweep cnn-1, begun at 20"):
        pull_sweep(runs, "cnn-1", tmp_path / "copy")
    assert copies.sweep("cnn-1") == sweep_record


def test_the_copy_of_a_sweep_that_was_given_more_trials_has_no_former_winner(
    runs: RunStore, sweep_record: SweepRecord, sweep_result: SweepResult, tmp_path: Path
) -> None:
    runs.create_sweep(sweep_record)
    runs.write_result(sweep_result)
    copied = RunStore(FolderStore(tmp_path / "copy"))
    pull_sweep(runs, "cnn-1", tmp_path / "copy", with_checkpoints=False)
    assert copied.result("cnn-1") == sweep_result
    runs.add_trials("cnn-1", sweep_record.num_trials + 1)
    pull_sweep(runs, "cnn-1", tmp_path / "copy", with_checkpoints=False)
    assert (copied.result("cnn-1"), copied.sweep("cnn-1").num_trials) == (None, sweep_record.num_trials + 1)
