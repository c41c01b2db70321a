"""Scores winners on the test set: the one place that opens it."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.packing import PackedImages, pack
from cifar_ray.data.sources import load_images, resolve_source
from cifar_ray.data.split import split
from cifar_ray.errors import DataError, StorageError, SweepHeldError
from cifar_ray.evaluation.calibration import calibrate, cross_entropy, probabilities
from cifar_ray.evaluation.confidence import confident_mistakes, reliability_bins
from cifar_ray.evaluation.judge import Judge
from cifar_ray.evaluation.winners import Winner, load_winner
from cifar_ray.provenance import now, package_versions, source_commit
from cifar_ray.records import DatasetRecord, SweepRecord, TestScores
from cifar_ray.scrutiny import SeedScore
from cifar_ray.settings import Settings, read_settings
from cifar_ray.statistics import summarise_classes, wilson_interval
from cifar_ray.storage.answers import TestAnswers
from cifar_ray.storage.lease import Lease
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.probe import check_write_read_delete
from cifar_ray.storage.runs import RunStore
from cifar_ray.training.device import choose_device

WAIT_S = 600.0
"""Seconds to wait for a driver that removes checkpoints after its sweep, or for another evaluation."""
_COPY_HINT = "put back those that the sweep was trained on, or name a copy of them by CIFAR_RAY_DATA"


def score_sweep(storage: str, sweep_id: str) -> TestScores:
    """The test scores of a finished sweep's winner.

    The test set is opened once: scores already in the store are returned as they are, new ones are stored, by whoever
    holds the sweep's lease. SweepHeldError where another evaluation, or the sweep's driver, holds it for WAIT_S longer.
    An accelerator only makes this faster. Scoring takes two forward passes over the test images, one of them mirrored,
    and one more for each further training of the finals' winner; one over the validation images; and one over 1,000
    test images for each of 15 corruptions.
    """
    runs = RunStore(open_store(storage))
    if (scores := runs.test_scores(sweep_id)) is not None:
        return scores
    load_winner(runs, sweep_id)  # a sweep without one gets no lease
    # lost scores would have the test set opened again
    check_write_read_delete(runs.objects)
    patient = PatientStore(runs.objects)
    with Lease(runs.objects, sweep_id, say=click.echo, on_loss=patient.retire, wait_s=WAIT_S) as lease:
        # of another evaluation, which held it until now
        if (scores := runs.test_scores(sweep_id)) is not None:
            return scores
        # loaded now: the sweep may have been deleted before
        scores, answers = _score(load_winner(runs, sweep_id))
        # answers first: a sweep that has scores is complete
        RunStore(patient).write_answers(answers)
        RunStore(patient).write_test_scores(scores)
    if lease.is_lost:
        raise SweepHeldError.of(sweep_id, "another node, which took it over")
    return scores


def _score(winner: Winner) -> tuple[TestScores, TestAnswers]:
    dataset, device = winner.sweep.dataset, choose_device()
    remarks = list(winner.remarks)
    test, validation = _load_both(winner.sweep, remarks)
    judge = Judge(winner.checkpoint, dataset, device)
    logits = judge.logits(pack(test.images))
    with_flips = (logits + judge.logits(pack(test.images[..., ::-1]))).argmax(axis=1)
    predicted, confidence = logits.argmax(axis=1), probabilities(logits).max(axis=1)
    is_right = predicted == test.labels
    num_correct = int(is_right.sum())
    scores = TestScores(
        sweep_id=winner.sweep.sweep_id,
        study=winner.sweep.study,
        trial_id=winner.trial.trial_id,
        epoch=winner.checkpoint.epoch,
        config=judge.config.to_dict(),
        validation_accuracy=winner.checkpoint.validation_accuracy,
        validation_loss=_validation_loss(winner),
        dataset=dataset,
        test_fingerprint=test.fingerprint(),
        num_images=len(test.labels),
        accuracy=num_correct / len(test.labels),
        accuracy_interval=wilson_interval(num_correct, len(test.labels)),
        loss=cross_entropy(logits, test.labels),
        **_score_classes(test, predicted),
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        commit=source_commit(),
        versions=package_versions(),
        scored_at=now(),
        reliability=reliability_bins(confidence, is_right),
        mistakes=confident_mistakes(test, predicted, confidence),
        accuracy_with_flips=float((with_flips == test.labels).mean()),
        seeds=_score_seeds(winner, test, num_correct / len(test.labels), device),
        calibration=calibrate((judge.logits(validation.pixels), validation.labels), (logits, test.labels))
        if validation
        else None,
        robustness=judge.robustness(test),
        remarks=tuple(remarks),
    )
    answers = test.labels.tolist(), predicted.tolist()
    return scores, TestAnswers.pack(scores.sweep_id, scores.test_fingerprint, *answers)


def _load_both(sweep: SweepRecord, remarks: list[str]) -> tuple[ImageSet, PackedImages | None]:
    """The test images, and the sweep's validation images; None, with a remark, where those are gone."""
    # first: if their store fails, or they are others, the test set stays closed
    training = _find_training_images(sweep, remarks)
    if training is None:
        try:
            return load_images(sweep.dataset.source, "test", read_settings()), None
        except DataError as error:
            raise DataError(error.message, _COPY_HINT) from error
    validation = split(training, sweep.seed, sweep.dataset.validation_share).validation
    return load_images(training.source, "test", read_settings()), validation


def _find_training_images(sweep: SweepRecord, remarks: list[str]) -> ImageSet | None:
    """The sweep's own, from its source or else, as they may have been moved, from CIFAR_RAY_DATA.

    None, with a remark, where they are gone; DataError where others are in their place.
    """
    settings, dataset = read_settings(), sweep.dataset
    absence = None
    try:
        if (images := _load_own(dataset.source, dataset, settings)) is not None:
            return images
    except (DataError, StorageError) as error:
        absence = error
    elsewhere = resolve_source(None, settings) if settings.data else dataset.source
    if elsewhere != dataset.source and (images := _load_own(elsewhere, dataset, settings)) is not None:
        remarks.append(f"scored with the images of {elsewhere}: {dataset.source} does not have them any more")
        return images
    if absence is None:
        raise DataError(f"{dataset.source} has other images than sweep {sweep.sweep_id} was trained on", _COPY_HINT)
    if not isinstance(absence, DataError):
        raise absence
    remarks.append(f"not calibrated: the training images are not there any more: {absence.message}")
    return None


def _load_own(source: str, dataset: DatasetRecord, settings: Settings) -> ImageSet | None:
    """The training images of `source`; None where they are not those that `dataset` records."""
    images = load_images(source, "train", settings)
    return images if images.fingerprint() == dataset.fingerprint else None


def _score_classes(test: ImageSet, predicted: NDArray[np.int64]) -> dict[str, Any]:
    """The fields of TestScores that are by class."""
    confusion = np.zeros((len(test.classes),) * 2, dtype=np.int64)
    np.add.at(confusion, (test.labels, predicted), 1)
    accuracies = (confusion.diagonal() / confusion.sum(axis=1)).tolist()
    by_class = dict(zip(test.classes, accuracies, strict=True))
    summary = summarise_classes(by_class)
    return {
        "accuracy_by_class": by_class,
        "class_mean": summary.mean,
        "class_standard_deviation": summary.standard_deviation,
        "animals": summary.animals,
        "vehicles": summary.vehicles,
        "confusion_matrix": tuple(tuple(row) for row in confusion.tolist()),
    }


def _score_seeds(winner: Winner, test: ImageSet, accuracy: float, device: torch.device) -> tuple[SeedScore, ...]:
    """Score each training of the finals' winner; the first already has `accuracy`."""
    return tuple(
        SeedScore(
            trial_id=each.trial_id,
            seed=each.seed,
            epoch=checkpoint.epoch,
            validation_accuracy=checkpoint.validation_accuracy,
            accuracy=Judge(checkpoint, winner.sweep.dataset, device).accuracy(test.images, test.labels)
            if index
            else accuracy,
        )
        for index, (each, checkpoint) in enumerate(winner.retrained)
    )


def _validation_loss(winner: Winner) -> float | None:
    """Of the scored weights; None where the records' are of others, as after a loss."""
    scored = winner.checkpoint.epoch, winner.checkpoint.validation_accuracy
    lines = [line for line in winner.metrics if (line.epoch, line.validation_accuracy) == scored]
    return lines[0].validation_loss if lines else None
