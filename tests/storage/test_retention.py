"""What goes, and what stays."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes import checkpoint

from cifar_ray.cli import removal
from cifar_ray.cli.main import main
from cifar_ray.cli.removal import remove_unheld
from cifar_ray.errors import CifarRayError, ConfigurationError, SweepHeldError, UnknownNameError
from cifar_ray.finals import Finalist, Finals, Retraining
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.lease import Lease
from cifar_ray.storage.retention import everything, manifests_first, remove_keys, surplus
from cifar_ray.storage.runs import RunStore

ACCURACIES = {"t0000": (0.2, 0.5, 0.4, 0.45), "t0001": (0.3, 0.1)}


@pytest.fixture
def kept(runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord) -> RunStore:
    """A sweep of two trials that have kept every epoch."""
    runs.create_sweep(sweep_record)
    runs.write_trial("cnn-1", trial_record)
    for trial, accuracies in ACCURACIES.items():
        for epoch, accuracy in enumerate(accuracies, start=1):
            CheckpointStore(runs.objects, "cnn-1", trial).save(checkpoint(epoch, accuracy))
    return runs


def _epochs(runs: RunStore) -> dict[str, list[int]]:
    return {trial: CheckpointStore(runs.objects, "cnn-1", trial).epochs() for trial in ACCURACIES}


def test_of_an_unfinished_sweep_each_trials_best_and_two_newest_stay(kept: RunStore) -> None:
    CheckpointStore(kept.objects, "cnn-1", "t0001").prune(keep=[], known=[2])
    kept.objects.write("cnn-1/trials/t0001/checkpoints/epoch-0009/model.safetensors", b"cut off")
    found = surplus(kept, "cnn-1")
    folders = {key.rpartition("/")[0] for key in found}
    assert folders == {
        "cnn-1/trials/t0000/checkpoints/epoch-0001",
        "cnn-1/trials/t0001/checkpoints/epoch-0009",
    }
    assert found["cnn-1/trials/t0001/checkpoints/epoch-0009/model.safetensors"] == len(b"cut off")
    remove_unheld(kept, "cnn-1", surplus)
    assert _epochs(kept) == {"t0000": [2, 3, 4], "t0001": [1]}


def test_a_damaged_manifest_counts_for_nothing_and_the_two_newest_whole_ones_stay(kept: RunStore) -> None:
    kept.objects.write("cnn-1/trials/t0000/checkpoints/epoch-0004/manifest.json", b"{")
    remove_unheld(kept, "cnn-1", surplus)
    assert _epochs(kept) == {"t0000": [2, 3], "t0001": [1, 2]}


def test_of_a_finished_sweep_the_winners_best_stays(kept: RunStore, sweep_result: SweepResult) -> None:
    """By the manifests, as the evaluation has it: the books may name another epoch, which was trained again since."""
    assert sweep_result.winner
    assert sweep_result.winner.best_epoch == 4
    kept.write_result(sweep_result)
    before = set(kept.objects.keys("cnn-1"))
    num_removed = remove_unheld(kept, "cnn-1", surplus)
    assert _epochs(kept) == {"t0000": [2], "t0001": []}
    left = set(kept.objects.keys("cnn-1"))
    assert len(before - left) == num_removed
    assert {"cnn-1/sweep.json", "cnn-1/result.json", "cnn-1/trials/t0000/trial.json"} <= left
    assert not any(key.endswith("lease.json") for key in left)
    assert surplus(kept, "cnn-1") == {}


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost with its node", "damaged"])
def test_where_the_winners_best_is_not_whole_the_next_best_stays(
    kept: RunStore, sweep_result: SweepResult, is_lost: bool
) -> None:
    """The evaluation takes that one."""
    best = CheckpointStore(kept.objects, "cnn-1", "t0000")
    if is_lost:
        best.prune(keep=[], known=[2])
    else:
        kept.objects.write("cnn-1/trials/t0000/checkpoints/epoch-0002/model.safetensors", b"cut off")
    kept.write_result(sweep_result)
    remove_unheld(kept, "cnn-1", surplus)
    assert _epochs(kept) == {"t0000": [4], "t0001": []}
    assert best.load(4).validation_accuracy == 0.45


def test_without_a_winner_no_checkpoint_stays(kept: RunStore, sweep_result: SweepResult) -> None:
    kept.write_result(replace(sweep_result, winner=None))
    remove_unheld(kept, "cnn-1", surplus)
    assert _epochs(kept) == {"t0000": [], "t0001": []}


def test_another_sweep_is_left_alone(kept: RunStore, sweep_result: SweepResult) -> None:
    kept.objects.write("cnn-10/trials/t0000/checkpoints/epoch-0001/model.safetensors", b"other")
    kept.write_result(sweep_result)
    remove_unheld(kept, "cnn-1", surplus)
    assert kept.objects.read("cnn-10/trials/t0000/checkpoints/epoch-0001/model.safetensors") == b"other"


def test_a_sweep_that_a_driver_is_at_work_on_is_refused(kept: RunStore) -> None:
    before = _epochs(kept)
    lease = Lease(kept.objects, "cnn-1", say=lambda line: None, on_loss=lambda: None, period_s=0.2)
    with lease, pytest.raises(SweepHeldError):
        remove_unheld(kept, "cnn-1", surplus)
    assert _epochs(kept) == before


def test_the_command_only_says_until_it_is_told_to(kept: RunStore, sweep_result: SweepResult) -> None:
    kept.write_result(sweep_result)
    before = kept.objects.keys("cnn-1")
    said = CliRunner().invoke(main, ["results", "gc", "cnn-1", "--storage", kept.objects.uri])
    assert said.exit_code == 0, said.output
    assert "would remove 15 objects" in said.output
    assert "cnn-1/trials/t0001/checkpoints/epoch-0001/manifest.json" in said.output
    assert kept.objects.keys("cnn-1") == before
    done = CliRunner().invoke(main, ["results", "gc", "cnn-1", "--remove", "--storage", kept.objects.uri])
    assert done.output == "removed 15 objects of cnn-1\n"
    assert _epochs(kept) == {"t0000": [2], "t0001": []}


def test_an_unknown_sweep_is_named(tmp_path: Path, runs: RunStore) -> None:
    with pytest.raises(UnknownNameError, match="never-was"):
        surplus(runs, "never-was")


def test_of_finals_the_best_epoch_of_each_training_of_the_winner_stays(
    kept: RunStore, sweep_result: SweepResult
) -> None:
    nested, finals_id = kept.finals("cnn-1"), layout.finals("cnn-1")
    for trial, accuracies in {"t0000": (0.2, 0.5), "t0001": (0.6, 0.1), "t0002": (0.9, 0.8, 0.7, 0.6)}.items():
        for epoch, accuracy in enumerate(accuracies, start=1):
            CheckpointStore(nested.objects, finals_id, trial).save(checkpoint(epoch, accuracy))

    def left() -> list[list[int]]:
        return [CheckpointStore(nested.objects, finals_id, f"t000{index}").epochs() for index in range(3)]

    remove_unheld(kept, "cnn-1", surplus)
    assert left() == [[1, 2], [1, 2], [1, 3, 4]], "resuming needs them"
    chosen = Finalist(
        trial_id="t0000",
        searched_accuracy=0.5,
        retrainings=tuple(
            Retraining(
                trial_id=f"t000{index}",
                seed=index,
                outcome="completed",
                best_epoch=2 - index,
                best_validation_accuracy=0.5,
            )
            for index in range(2)
        ),
    )
    finals = Finals(finalists=(chosen,), num_epochs=8, accelerator_seconds=0.0)
    kept.write_result(replace(sweep_result, finals=finals))
    remove_unheld(kept, "cnn-1", surplus)
    assert left() == [[2], [1], []]
    assert _epochs(kept) == {"t0000": [2], "t0001": []}


def test_a_removal_that_breaks_off_leaves_no_checkpoint_that_looks_whole(kept: RunStore) -> None:
    keys = manifests_first(kept.objects.keys("cnn-1/trials/t0001/checkpoints"))
    looks = iter([False, False, True])
    assert remove_keys(kept, keys, lambda: next(looks)) == 2
    assert _epochs(kept)["t0001"] == []
    assert len(kept.objects.keys("cnn-1/trials/t0001/checkpoints")) == len(keys) - 2


def test_nothing_more_goes_once_a_driver_has_taken_the_sweep(kept: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept.objects.keys("cnn-1")
    monkeypatch.setattr(removal, "Lease", lambda *args, on_loss, **options: nullcontext(on_loss()))
    with pytest.raises(CifarRayError, match="a driver took over sweep 'cnn-1'; 0 of"):
        remove_unheld(kept, "cnn-1", surplus)
    assert kept.objects.keys("cnn-1") == before


@pytest.fixture
def with_finals(kept: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, sweep_result: SweepResult) -> str:
    """The id of the finals of `kept`, which has finished, as they have."""
    finals = layout.finals("cnn-1")
    nested = kept.finals("cnn-1")
    nested.create_sweep(replace(sweep_record, sweep_id=finals, parent="cnn-1"))
    nested.write_trial(finals, trial_record)
    CheckpointStore(nested.objects, finals, "t0000").save(checkpoint(1, 0.5))
    nested.write_result(replace(sweep_result, sweep_id=finals))
    kept.write_result(sweep_result)
    return finals


def test_a_deletion_that_breaks_off_anywhere_leaves_a_sweep_to_resume_or_to_delete(
    kept: RunStore, with_finals: str, trial_record: TrialRecord
) -> None:
    kept.write_trial("cnn-1", replace(trial_record, trial_id="t0001"))
    kept.objects.write(layout.metrics("cnn-1"), b"")
    for name in ("test_scores.json", "answers.json"):
        kept.objects.write(f"cnn-1/evaluation/{name}", b"{}")
    objects = {key: kept.objects.read(key) for key in everything(kept, "cnn-1")}
    for number in range(1, len(objects)):
        assert remove_keys(kept, list(everything(kept, "cnn-1"))[:number]) == number
        # without scores, which the result of a resumed sweep would be given
        assert kept.summary("cnn-1").state == ("finished" if number == 1 else "interrupted")
        left = kept.objects.keys("cnn-1")
        # a driver that resumes it trains the trials without a record: those that have one can be scored
        recorded = [each.trial_id for each in kept.trials("cnn-1")]
        assert recorded == ["t0000", "t0001"][: len(recorded)]
        assert all(_epochs(kept)[each] == [*range(1, 1 + len(ACCURACIES[each]))] for each in recorded)
        gone = [key for key in objects if key not in left and key.startswith("cnn-1/trials/")]
        # nor are there epochs of trials that would be trained otherwise
        assert layout.metrics("cnn-1") not in left or not [key for key in gone if "/checkpoints/" in key]
        if gone:
            # finals' record says that the search is over: it must not outlive a part of the search
            assert not any(key.startswith(f"cnn-1/{with_finals}/") for key in left)
        assert remove_keys(kept, everything(kept, "cnn-1")) == len(left)
        assert kept.objects.keys() == []
        for key, content in objects.items():
            kept.objects.write(key, content)


def test_of_finals_by_themselves_nothing_is_removed(kept: RunStore, with_finals: str) -> None:
    """Their best training may be of a configuration that lost by its mean."""
    nested = kept.finals("cnn-1")
    before = nested.objects.sizes()
    with pytest.raises(ConfigurationError, match="the finals of 'cnn-1'"):
        surplus(nested, with_finals)
    done = CliRunner().invoke(main, ["results", "gc", with_finals, "--remove", "--storage", nested.objects.uri])
    assert (done.exit_code, "name that sweep" in done.output) == (2, True), done.output
    assert nested.objects.sizes() == before


def test_a_sweep_is_deleted_with_its_finals_and_no_other(
    kept: RunStore, with_finals: str, sweep_record: SweepRecord
) -> None:
    kept.create_sweep(replace(sweep_record, sweep_id="cnn-11"))
    kept.objects.write("cnn-2/sweep.json", b"{")
    where = ["--storage", kept.objects.uri]
    before = kept.objects.keys()
    asked = CliRunner().invoke(main, ["results", "delete", "cnn-1", "cnn-2", *where], input="n\n")
    assert (asked.exit_code, kept.objects.keys()) == (1, before)
    assert "cnn-1: finished, 27 objects" in asked.output
    assert "cnn-2: unreadable, 1 object," in asked.output
    done = CliRunner().invoke(main, ["results", "delete", "cnn-1", "cnn-2", "--yes", *where])
    assert done.exit_code == 0, done.output
    assert "deleted cnn-1: 27 objects" in done.output
    assert kept.objects.keys() == ["cnn-11/sweep.json"]
    unknown = CliRunner().invoke(main, ["results", "delete", "cnn-1", "--yes", *where])
    assert (unknown.exit_code, kept.objects.keys()) == (2, ["cnn-11/sweep.json"])
    assert "cnn-11" in unknown.output


def test_finals_are_not_deleted_without_their_sweep(kept: RunStore, with_finals: str) -> None:
    kept.objects.write(f"cnn-1/{layout.result(with_finals)}", b"{")
    before = kept.objects.keys()
    where = ["--storage", f"{kept.objects.uri}/cnn-1"]
    said = CliRunner().invoke(main, ["results", "delete", with_finals, "--yes", *where])
    assert said.exit_code == 2
    assert "they are deleted with it" in said.output
    assert kept.objects.keys() == before
