"""Scores winners on the test set: the one place that opens it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cifar_ray.data.packing import PackedImages, pack
from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.sources import load_images
from cifar_ray.errors import CheckpointError
from cifar_ray.evaluation.confidence import confident_mistakes, reliability_bins
from cifar_ray.evaluation.winners import Winner, load_winner
from cifar_ray.models import build_model
from cifar_ray.provenance import now, package_versions, source_commit
from cifar_ray.records import TestScores
from cifar_ray.settings import read_settings
from cifar_ray.statistics import summarise_classes, wilson_interval
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.device import choose_device
from cifar_ray.training.state import unpack_weights

BATCH_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model makes of the test set, an entry an image."""

    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    """Probability of the predicted class."""
    loss: float
    """Mean cross-entropy."""
    predicted_with_flips: NDArray[np.int64]
    """By the mean of the logits of an image and its mirror image."""


def score_sweep(storage: str, sweep_id: str) -> TestScores:
    """The test scores of a finished sweep's winner.

    The test set is opened once: scores that are in the store are given back as they are, new ones are stored.
    Needs an accelerator only to be faster.
    """
    runs = RunStore(open_store(storage))
    if (scores := runs.test_scores(sweep_id)) is not None:
        return scores
    scores = _score(load_winner(runs, sweep_id))
    runs.write_test_scores(scores)
    return scores


def _score(winner: Winner) -> TestScores:
    dataset = winner.sweep.dataset
    test = load_images(dataset.source, "test", read_settings())
    device = choose_device()
    batches = ResidentBatches(
        PackedImages(pixels=pack(test.images), labels=test.labels),
        batch_size=BATCH_SIZE,
        device=device,
        mean=dataset.mean,
        standard_deviation=dataset.standard_deviation,
        shuffle=False,
        augment=None,
        seed=0,
    )
    config = TrialConfig.from_dict(winner.checkpoint.config)
    answers = predict(_load_model(winner, config, device), batches)
    is_right = answers.predicted == test.labels
    num_correct = int(is_right.sum())
    confusion = np.zeros((len(test.classes),) * 2, dtype=np.int64)
    np.add.at(confusion, (test.labels, answers.predicted), 1)
    by_class = (confusion.diagonal() / confusion.sum(axis=1)).tolist()
    accuracy_by_class = dict(zip(test.classes, by_class, strict=True))
    summary = summarise_classes(accuracy_by_class)
    validation_loss = next(
        (line.validation_loss for line in winner.metrics if line.epoch == winner.checkpoint.epoch), None
    )
    return TestScores(
        sweep_id=winner.sweep.sweep_id,
        study=winner.sweep.study,
        trial_id=winner.trial.trial_id,
        epoch=winner.checkpoint.epoch,
        config=config.to_dict(),
        validation_accuracy=winner.checkpoint.validation_accuracy,
        validation_loss=validation_loss,
        dataset=dataset,
        test_fingerprint=test.fingerprint(),
        num_images=len(test.labels),
        accuracy=num_correct / len(test.labels),
        accuracy_interval=wilson_interval(num_correct, len(test.labels)),
        loss=answers.loss,
        accuracy_by_class=accuracy_by_class,
        class_mean=summary.mean,
        class_standard_deviation=summary.standard_deviation,
        animals=summary.animals,
        vehicles=summary.vehicles,
        confusion_matrix=tuple(tuple(row) for row in confusion.tolist()),
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        commit=source_commit(),
        versions=package_versions(),
        scored_at=now(),
        remarks=winner.remarks,
        reliability=reliability_bins(answers.confidence, is_right),
        mistakes=confident_mistakes(test, answers.predicted, answers.confidence),
        accuracy_with_flips=float((answers.predicted_with_flips == test.labels).mean()),
    )


def _load_model(winner: Winner, config: TrialConfig, device: torch.device) -> torch.nn.Module:
    model = build_model(config)
    try:
        model.load_state_dict(unpack_weights(winner.checkpoint.weights))
    except RuntimeError as error:
        raise CheckpointError(f"the weights do not fit the network of trial {winner.trial.trial_id}") from error
    return model.to(device).eval()


@torch.inference_mode()
def predict(model: torch.nn.Module, batches: ResidentBatches) -> Answers:
    """In float32, in the order of the test set."""
    predicted, predicted_with_flips, confidence, losses = [], [], [], []
    for images, labels in chain.from_iterable(batches):
        logits = model(images)
        highest = torch.softmax(logits, dim=1).max(dim=1)
        predicted.append(highest.indices)
        predicted_with_flips.append((logits + model(images.flip(3))).argmax(dim=1))
        confidence.append(highest.values)
        losses.append(functional.cross_entropy(logits, labels, reduction="none"))
    return Answers(
        predicted=torch.cat(predicted).cpu().numpy(),
        predicted_with_flips=torch.cat(predicted_with_flips).cpu().numpy(),
        confidence=torch.cat(confidence).double().cpu().numpy(),
        loss=torch.cat(losses).double().mean().item(),
    )
