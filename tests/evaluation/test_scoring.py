"""A winner scored in the one opening of the test set: an untrained network on drawn shapes."""

import base64
import threading
import time
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from finished import finish, untrained_checkpoint
from torch.nn import functional

from cifar_ray.cifar10 import CLASSES
from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.sources import load_images
from cifar_ray.data.split import split
from cifar_ray.errors import (
    ConfigurationError,
    DataError,
    StorageError,
    StoreUnavailableError,
    SweepHeldError,
    UnknownNameError,
)
from cifar_ray.evaluation import judge, scoring
from cifar_ray.evaluation.corruptions import CORRUPTIONS, corrupt
from cifar_ray.evaluation.scoring import score_sweep
from cifar_ray.evaluation.winners import Winner
from cifar_ray.finals import Finalist, Finals, Retraining
from cifar_ray.models import build_model
from cifar_ray.records import EpochMetrics, SweepRecord, TestScores, TrialRecord
from cifar_ray.settings import read_settings
from cifar_ray.statistics import summarise_classes, wilson_interval
from cifar_ray.storage.answers import TestAnswers
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.lease import Lease, LeaseRecord
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.retention import everything, remove_keys
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig, get_study
from cifar_ray.training.state import load_weights

SEEDS = (11, 12, 13)


@pytest.fixture
def finished(
    runs: RunStore, sweep_record: SweepRecord, trial_record: TrialRecord, epoch_metrics: list[EpochMetrics]
) -> RunStore:
    """A sweep whose finals have trained one configuration on three seeds, the second the best on validation."""
    data = split(load_images("shapes:500", "train", read_settings()), seed=3)
    config = get_study("cnn").with_budget(num_trials=1).sample(0)[0]
    retrainings = []
    for index, (seed, accuracy) in enumerate(zip(SEEDS, (0.3, 0.4, 0.35), strict=True)):
        checkpoint = untrained_checkpoint(replace(config, seed=seed), epoch=3, accuracy=accuracy)
        CheckpointStore(runs.finals("cnn-1").objects, "cnn-1-finals", f"t000{index}").save(checkpoint)
        retrainings.append(
            Retraining(
                trial_id=f"t000{index}", seed=seed, outcome="completed", best_epoch=3, best_validation_accuracy=accuracy
            )
        )
    runs.finals("cnn-1").write_metrics(
        "cnn-1-finals",
        [
            replace(line, trial_id="t0001", validation_accuracy=0.4 if line.epoch == 3 else 0.0)
            for line in epoch_metrics
            if line.trial_id == "t0000"
        ],
    )
    runs.write_trial("cnn-1", trial_record)
    finalist = Finalist(trial_id="t0000", searched_accuracy=0.5, retrainings=tuple(retrainings))
    finals = Finals(finalists=(finalist,), num_epochs=12, accelerator_seconds=0.0)
    finish(runs, replace(sweep_record, seed=3, dataset=data.record), trial_record, finals)
    return runs


def test_all_that_is_kept_of_a_winner(finished: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def build_watched(config: TrialConfig) -> torch.nn.Module:
        model = build_model(config)
        model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
        return model

    corrupted: list[tuple[str, int]] = []

    def corrupt_watched(images: np.ndarray, name: str, severity: int) -> np.ndarray:
        corrupted.append((name, severity))
        return corrupt(images, name, severity)

    monkeypatch.setattr(judge, "NUM_CORRUPTED", 40)
    monkeypatch.setattr(judge, "build_model", build_watched)
    monkeypatch.setattr(judge, "corrupt", corrupt_watched)
    scores = score_sweep(finished.objects.uri, "cnn-1")
    assert (scores.trial_id, scores.epoch, scores.config["seed"]) == ("t0000", 3, 12)
    assert [(each.trial_id, each.seed) for each in scores.seeds] == [("t0001", 12), ("t0002", 13), ("t0000", 11)]
    assert scores.calibration is not None
    assert scores.calibration.loss == pytest.approx(scores.loss, abs=1e-6)
    assert scores.robustness is not None
    assert scores.robustness.num_images == 40
    assert corrupted == [(name, severity) for name in CORRUPTIONS for severity in range(3)]
    # 100 to test: plain, mirrored, two more seeds; 50 to validate; 40 clean and with 15 corruptions
    assert sum(seen) == 4 * 100 + 50 + 16 * 40

    seen.clear()
    assert score_sweep(finished.objects.uri, "cnn-1") == scores
    assert not seen, "the test set is opened once"
    test = load_images("shapes:500", "test", read_settings())
    chosen = np.sort(np.random.default_rng(0).permutation(100)[:40])

    def accuracy(images: np.ndarray) -> float:
        return float((plain_logits(finished, "t0001", images).argmax(axis=1) == test.labels[chosen]).mean())

    clean = accuracy(test.images[chosen])
    expected = {
        name: tuple(accuracy(corrupt(test.images[chosen], name, severity)) for severity in range(3))
        for name in CORRUPTIONS
    }
    assert (scores.robustness.clean, scores.robustness.corrupted) == (clean, expected)
    assert any(set(each) != {clean} for each in expected.values())


def test_a_thousand_of_more_test_images_are_corrupted(image_set: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    class Knowing(judge.Judge):
        """Sees the class in the first channel."""

        def __init__(self) -> None:
            pass

        def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
            seen.append(images)
            return float((images[:, 0, 0, 0] // 25 == labels).mean())

    seen: list[np.ndarray] = []
    monkeypatch.setattr(judge, "corrupt", lambda images, name, severity: images)
    many = replace(image_set, images=np.tile(image_set.images, (6, 1, 1, 1)), labels=np.tile(image_set.labels, 6))
    many.images[:, 1, 0, :2] = np.array(divmod(np.arange(1200), 256)).T
    found = Knowing().robustness(many)
    assert (found.num_images, found.clean, set(found.corrupted)) == (1000, 1.0, set(CORRUPTIONS))
    assert set(found.corrupted.values()) == {(1.0, 1.0, 1.0)}
    assert all((images == seen[0]).all() for images in seen), "the same ones each time"
    numbers = (seen[0][:, 1, 0, :2].astype(int) @ (256, 1)).tolist()
    assert numbers == sorted(set(numbers)) != list(range(1000)), "drawn, each once"


def test_scores_are_those_of_a_plain_pass(finished: RunStore) -> None:
    scores = score_sweep(finished.objects.uri, "cnn-1")
    test = load_images("shapes:500", "test", read_settings())
    logits, *others = (plain_logits(finished, trial_id, test.images) for trial_id in ("t0001", "t0002", "t0000"))
    mirrored = plain_logits(finished, "t0001", test.images[..., np.arange(31, -1, -1)])
    predicted = logits.argmax(axis=1)
    is_right = predicted == test.labels
    accuracies = [float((each.argmax(axis=1) == test.labels).mean()) for each in (logits, *others, logits + mirrored)]
    assert [scores.accuracy, *(each.accuracy for each in scores.seeds[1:]), scores.accuracy_with_flips] == accuracies
    assert len(set(accuracies)) == 4
    assert scores.accuracy_interval == wilson_interval(int(is_right.sum()), 100)
    loss = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(test.labels))
    assert scores.loss == pytest.approx(float(loss), abs=1e-3)
    by_class = {name: is_right[test.labels == label].mean() for label, name in enumerate(test.classes)}
    assert scores.accuracy_by_class == pytest.approx(by_class)
    summary = summarise_classes(by_class)
    assert scores.class_mean == pytest.approx(summary.mean)
    assert scores.class_standard_deviation == pytest.approx(summary.standard_deviation)
    confidence = torch.softmax(torch.from_numpy(logits), dim=1).amax(dim=1).numpy()
    for each in scores.reliability:
        inside = (each.low < confidence) & (confidence <= each.high)
        assert each.num_images == inside.sum()
        if each.num_images:
            assert each.confidence == pytest.approx(confidence[inside].mean(), abs=1e-5)
            assert each.accuracy == pytest.approx(is_right[inside].mean())
    surest = sorted(np.flatnonzero(~is_right), key=lambda index: -confidence[index])[:24]
    assert [each.index for each in scores.mistakes] == surest
    assert [each.confidence for each in scores.mistakes] == pytest.approx(confidence[surest], abs=1e-5)
    assert [each.predicted_class for each in scores.mistakes] == [test.classes[predicted[index]] for index in surest]
    assert [each.true_class for each in scores.mistakes] == [test.classes[test.labels[index]] for index in surest]
    assert (scores.validation_accuracy, scores.validation_loss) == (0.4, 2.1 / 3)
    assert scores.test_fingerprint == test.fingerprint() != scores.dataset.fingerprint
    answers = finished.answers(scores)
    assert answers is not None
    assert answers.test_fingerprint == test.fingerprint()
    assert base64.b64decode(answers.labels) == bytes(test.labels.tolist())
    assert base64.b64decode(answers.predicted) == bytes(predicted.tolist())


def test_the_recorded_loss_of_other_weights_is_not_told(finished: RunStore) -> None:
    """As after a loss: the epoch is trained again, and its first metrics stay."""
    nested = finished.finals("cnn-1")
    lines = [
        replace(line, validation_accuracy=line.validation_accuracy + 0.01) for line in nested.metrics("cnn-1-finals")
    ]
    nested.write_metrics("cnn-1-finals", lines)
    scores = score_sweep(finished.objects.uri, "cnn-1")
    assert (scores.validation_accuracy, scores.validation_loss) == (0.4, None)


def test_animals_and_vehicles_are_told_apart(image_set: ImageSet) -> None:
    """All animals but a quarter of the birds are recognised, and of the vehicles the ships alone."""
    predicted = image_set.labels.copy()
    predicted[np.flatnonzero(predicted == CLASSES.index("bird"))[:5]] = CLASSES.index("cat")
    for name in ("airplane", "automobile", "truck"):
        predicted[image_set.labels == CLASSES.index(name)] = CLASSES.index("ship")
    found = scoring._score_classes(image_set, predicted)
    by_class = dict.fromkeys(CLASSES, 1.0) | {"bird": 0.75, "airplane": 0.0, "automobile": 0.0, "truck": 0.0}
    assert found["accuracy_by_class"] == by_class
    assert (found["animals"], found["vehicles"]) == (pytest.approx(5.75 / 6), 0.25)
    bird, ship = CLASSES.index("bird"), CLASSES.index("ship")
    assert found["confusion_matrix"][bird] == (0, 0, 15, 5, 0, 0, 0, 0, 0, 0)
    assert [row[ship] for row in found["confusion_matrix"]] == [20, 20, 0, 0, 0, 0, 0, 0, 20, 20]


def plain_logits(runs: RunStore, trial_id: str, images: np.ndarray) -> np.ndarray:
    """(N, 10) of a final's network, 20 images at a time."""
    checkpoint = CheckpointStore(runs.finals("cnn-1").objects, "cnn-1-finals", trial_id).load(3)
    model = build_model(TrialConfig.from_dict(checkpoint.config)).eval()
    load_weights(model, checkpoint.weights)
    dataset = runs.sweep("cnn-1").dataset
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (dataset.mean, dataset.standard_deviation))
    with torch.inference_mode():
        parts = torch.from_numpy(images.copy()).split(20)
        return torch.cat([model((each / 255 - mean) / deviation) for each in parts]).numpy()


def test_finals_are_no_second_look_at_the_test_set(finished: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a finished sweep with a winner and its weights: the luckiest single training."""
    nested, searched = finished.finals("cnn-1"), finished.result("cnn-1")
    assert searched is not None
    nested.create_sweep(replace(finished.sweep("cnn-1"), sweep_id="cnn-1-finals", parent="cnn-1"))
    winner = replace(searched.winner, trial_id="t0001") if searched.winner else None
    nested.write_result(replace(searched, sweep_id="cnn-1-finals", winner=winner, finals=None))
    opened: list[object] = []
    monkeypatch.setattr(scoring, "load_images", lambda *arguments: opened.append(arguments))
    with pytest.raises(ConfigurationError, match="cnn-1-finals are the finals of cnn-1") as refused:
        score_sweep(nested.objects.uri, "cnn-1-finals")
    assert (opened, refused.value.hint) == ([], "evaluate cnn-1, in the store that holds it")


def test_what_has_scores_is_whole(finished: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("no room")

    monkeypatch.setattr(RunStore, "write_answers", refuse)
    with pytest.raises(StorageError, match="no room"):
        score_sweep(finished.objects.uri, "cnn-1")
    assert finished.test_scores("cnn-1") is None


def test_a_store_that_takes_no_scores_leaves_the_test_set_closed(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a copy that is mounted read-only."""

    def refuse(*_: object) -> None:
        raise StorageError("read-only")

    opened: list[str] = []
    monkeypatch.setattr(FolderStore, "write", refuse)
    monkeypatch.setattr(scoring, "load_images", lambda *arguments: opened.append("test"))
    with pytest.raises(StorageError, match="read-only"):
        score_sweep(finished.objects.uri, "cnn-1")
    assert not opened


def test_the_temperature_is_fitted_on_what_the_sweep_held_out_and_nothing_else(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = split(load_images("shapes:500", "train", read_settings()), seed=3, validation_share=0.02)
    changed = replace(finished.sweep("cnn-1"), dataset=data.record)
    finished.objects.write("cnn-1/sweep.json", changed.to_json().encode())
    fitted: list[int] = []

    def calibrate(validation: tuple[object, list[int]], test: object) -> None:
        fitted.extend(validation[1])

    monkeypatch.setattr(scoring, "calibrate", calibrate)
    score_sweep(finished.objects.uri, "cnn-1")
    assert sorted(fitted) == list(range(10)), "one image of each class"
    assert fitted == data.validation.labels.tolist()


def lease_of(holder: str, num_renewals: int = 0) -> bytes:
    return LeaseRecord(holder=holder, host="elsewhere", num_renewals=num_renewals).to_json().encode()


@pytest.mark.usefixtures("lease_clock")
def test_an_evaluation_leaves_a_sweep_to_another_that_is_at_work_on_it(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals = count()

    def read(store: FolderStore, key: str) -> bytes:
        return lease_of("first", next(renewals)) if key == "cnn-1/lease.json" else read_plainly(store, key)

    read_plainly = FolderStore.read
    monkeypatch.setattr(FolderStore, "read", read)
    loaded = watch_loads(monkeypatch)
    with pytest.raises(SweepHeldError, match="elsewhere"):
        score_sweep(finished.objects.uri, "cnn-1")
    assert (loaded, finished.test_scores("cnn-1")) == ([], None)
    assert next(renewals) > scoring.WAIT_S, "a second each"


@pytest.mark.usefixtures("lease_clock")
def test_scores_of_an_evaluation_that_ended_meanwhile_are_taken(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_sweep(finished.objects.uri, "cnn-1")
    first = finished.objects.read("cnn-1/evaluation/test_scores.json")
    finished.objects.delete("cnn-1/evaluation/test_scores.json")
    finished.objects.write("cnn-1/lease.json", lease_of("first"))
    reads = count()

    def read(store: FolderStore, key: str) -> bytes:
        if key == "cnn-1/lease.json" and next(reads) == 1:
            store.write("cnn-1/evaluation/test_scores.json", first)
            store.delete(key)
        return read_plainly(store, key)

    read_plainly = FolderStore.read
    monkeypatch.setattr(FolderStore, "read", read)
    loaded = watch_loads(monkeypatch)
    assert score_sweep(finished.objects.uri, "cnn-1").to_json().encode() == first
    assert loaded == []


@pytest.mark.usefixtures("lease_clock")
def test_a_killed_evaluations_lease_is_watched_then_taken(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished.objects.write("cnn-1/lease.json", lease_of("killed", 7))
    states = [finished.summary("cnn-1").state]

    def score(winner: Winner) -> tuple[TestScores, TestAnswers]:
        states.append(finished.summary("cnn-1").state)
        assert b"killed" not in finished.objects.read("cnn-1/lease.json"), "another would be refused"
        return score_plainly(winner)

    score_plainly = scoring._score
    monkeypatch.setattr(scoring, "_score", score)
    score_sweep(finished.objects.uri, "cnn-1")
    assert "sweep cnn-1 has a driver on elsewhere: looking for 20 s if it lives" in capsys.readouterr().out
    assert states == ["finished", "finished"], "nobody trains it"
    assert "cnn-1/lease.json" not in finished.objects.keys("cnn-1")


def test_an_evaluation_that_was_suspended_writes_nothing_once_another_has_taken_over(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()

    def retire(store: PatientStore) -> None:
        retire_plainly(store)
        lost.set()

    def score(winner: Winner) -> tuple[TestScores, TestAnswers]:
        found = score_plainly(winner)
        until = time.monotonic() + 60
        while not lost.wait(0.01):
            assert time.monotonic() < until
            # a renewal that had begun may have written over it
            finished.objects.write("cnn-1/lease.json", lease_of("another"))
        return found

    retire_plainly, score_plainly = PatientStore.retire, scoring._score
    monkeypatch.setattr(PatientStore, "retire", retire)
    monkeypatch.setattr(scoring, "_score", score)
    monkeypatch.setattr(scoring, "Lease", partial(Lease, period_s=0.1))
    with pytest.raises(SweepHeldError, match="which took it over"):
        score_sweep(finished.objects.uri, "cnn-1")
    assert not [key for key in finished.objects.keys("cnn-1") if "/evaluation/" in key]
    assert finished.objects.read("cnn-1/lease.json") == lease_of("another")


def test_a_sweep_that_is_deleted_before_its_turn_gets_no_scores(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Lease):
        def __enter__(self) -> Lease:
            remove_keys(finished, everything(finished, "cnn-1"))
            return super().__enter__()

    monkeypatch.setattr(scoring, "Lease", Late)
    with pytest.raises(UnknownNameError):
        score_sweep(finished.objects.uri, "cnn-1")
    assert finished.objects.keys() == []


def test_a_sweep_that_has_not_finished_gets_no_lease_of_an_evaluation(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for the driver, or read as if it ran."""
    finished.objects.delete("cnn-1/result.json")
    monkeypatch.setattr(scoring, "Lease", None)
    with pytest.raises(ConfigurationError, match="cnn-1 has not finished"):
        score_sweep(finished.objects.uri, "cnn-1")


def recorded_otherwise(runs: RunStore, **changes: str) -> None:
    sweep = runs.sweep("cnn-1")
    changed = replace(sweep, dataset=replace(sweep.dataset, **changes))
    runs.objects.write("cnn-1/sweep.json", changed.to_json().encode())


def watch_loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Each source and part that is loaded from now on."""
    loaded: list[tuple[str, str]] = []

    def load(source: str, part: Any, settings: Any) -> ImageSet:
        loaded.append((source, part))
        return load_images(source, part, settings)

    monkeypatch.setattr(scoring, "load_images", load)
    return loaded


@pytest.mark.parametrize("elsewhere", ["", "shapes:500", "shapes:600"])
def test_other_images_in_their_place_leave_the_test_set_closed(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    """As their scores would be kept, for good, under the name of those that the sweep was trained on."""
    recorded_otherwise(finished, fingerprint="ab" * 32)
    monkeypatch.setenv("CIFAR_RAY_DATA", elsewhere)
    loaded = watch_loads(monkeypatch)
    with pytest.raises(DataError, match="shapes:500 has other images than sweep cnn-1 was trained on") as refused:
        score_sweep(finished.objects.uri, "cnn-1")
    assert "name a copy of them by CIFAR_RAY_DATA" in str(refused.value.hint)
    assert loaded == [(source, "train") for source in dict.fromkeys(["shapes:500", elsewhere or "shapes:500"])]
    assert finished.test_scores("cnn-1") is None


@pytest.mark.parametrize("recorded", ["/nowhere/images", "shapes:600"])
def test_images_that_have_been_moved_are_found_by_the_variable(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch, recorded: str
) -> None:
    """Where they were recorded are none, or others. A sweep can be resumed with moved ones, so it can be scored."""
    recorded_otherwise(finished, source=recorded)
    monkeypatch.setenv("CIFAR_RAY_DATA", "shapes:500")
    loaded = watch_loads(monkeypatch)
    scores = score_sweep(finished.objects.uri, "cnn-1")
    assert loaded == [(recorded, "train"), ("shapes:500", "train"), ("shapes:500", "test")]
    assert scores.test_fingerprint == load_images("shapes:500", "test", read_settings()).fingerprint()
    assert scores.calibration is not None
    assert scores.remarks == (f"scored with the images of shapes:500: {recorded} does not have them any more",)


@pytest.mark.parametrize("elsewhere", ["", "shapes:600"])
def test_where_neither_place_has_the_images_the_variable_is_named(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    recorded_otherwise(finished, source="/nowhere/images")
    monkeypatch.setenv("CIFAR_RAY_DATA", elsewhere)
    with pytest.raises(DataError, match="there is no folder /nowhere/images") as refused:
        score_sweep(finished.objects.uri, "cnn-1")
    assert "CIFAR_RAY_DATA" in str(refused.value.hint)


def test_a_winner_whose_training_images_are_gone_is_scored(finished: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(source: str, part: Any, settings: Any) -> ImageSet:
        if part == "train":
            raise DataError("no train-*.parquet in it", "put it back")
        return load_images(source, part, settings)

    monkeypatch.setattr(scoring, "load_images", load)
    scores = score_sweep(finished.objects.uri, "cnn-1")
    assert scores.calibration is None
    assert scores.remarks == ("not calibrated: the training images are not there any more: no train-*.parquet in it",)


def test_training_images_that_cannot_be_loaded_now_leave_the_test_set_closed(
    finished: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when their store goes down: it is evaluated later."""
    opened: list[str] = []

    def load(source: str, part: Any, settings: Any) -> ImageSet:
        opened.append(part)
        if part == "train":
            raise StoreUnavailableError("no answer")
        return load_images(source, part, settings)

    monkeypatch.setattr(scoring, "load_images", load)
    with pytest.raises(StoreUnavailableError):
        score_sweep(finished.objects.uri, "cnn-1")
    assert opened == ["train"]
