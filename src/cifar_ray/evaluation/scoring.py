"""Scores winners on the test set: the one place that opens it."""

from __future__ import annotations

from itertools import chain

import torch
from torch.nn import functional

from cifar_ray.data.packing import PackedImages, pack
from cifar_ray.data.resident import ResidentBatches
from cifar_ray.data.sources import load_images
from cifar_ray.errors import CheckpointError
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
        augment=False,
        seed=0,
    )
    config = TrialConfig.from_dict(winner.checkpoint.config)
    confusion, loss = _predict(_load_model(winner, config, device), batches, len(test.classes), device)
    num_correct = int(confusion.diagonal().sum())
    by_class = (confusion.diagonal() / confusion.sum(dim=1)).tolist()
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
        loss=loss,
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
    )


def _load_model(winner: Winner, config: TrialConfig, device: torch.device) -> torch.nn.Module:
    model = build_model(config)
    try:
        model.load_state_dict(unpack_weights(winner.checkpoint.weights))
    except RuntimeError as error:
        raise CheckpointError(f"the weights do not fit the network of trial {winner.trial.trial_id}") from error
    return model.to(device).eval()


@torch.inference_mode()
def _predict(
    model: torch.nn.Module, batches: ResidentBatches, num_classes: int, device: torch.device
) -> tuple[torch.Tensor, float]:
    """Confusion matrix (true classes by predicted ones) and mean cross-entropy, in float32."""
    confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    for images, labels in chain.from_iterable(batches):
        logits = model(images)
        loss += functional.cross_entropy(logits, labels, reduction="sum")
        cells = labels * num_classes + logits.argmax(dim=1)
        confusion += torch.bincount(cells, minlength=num_classes * num_classes)
    confusion = confusion.reshape(num_classes, num_classes).cpu()
    return confusion, loss.item() / int(confusion.sum())
