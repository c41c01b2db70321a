"""The lower bound: the same batches, network and optimiser in a plain loop, without Lightning or metrics."""

from __future__ import annotations

import time
from itertools import chain, cycle, islice

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from cifar_ray.data.split import TrainingData
from cifar_ray.models import build_model
from cifar_ray.studies import TrialConfig
from cifar_ray.training.device import choose_precision, keep_freed_memory
from cifar_ray.training.feeds import training_feed, validation_feed

NUM_EPOCHS = 2
"""The first warms up, the second is timed."""
CPU = torch.device("cpu")


def time_epoch(data: TrainingData, config: TrialConfig, seed: int, num_threads: int) -> float:
    """Seconds of an epoch, validation included."""
    network, optimizer = _prepare(config, num_threads)
    train, validation = training_feed(data, config, CPU, seed), validation_feed(data, CPU)
    seconds = 0.0
    for epoch in range(1, NUM_EPOCHS + 1):
        train.set_epoch(epoch)
        started = time.perf_counter()
        network.train()
        for images, labels in chain.from_iterable(train):
            _step(network, optimizer, images, labels)
        network.eval()
        num_correct = 0
        with torch.inference_mode():
            for images, labels in chain.from_iterable(validation):
                with _precision():
                    num_correct += int((network(images).argmax(dim=1) == labels).sum())
        seconds = time.perf_counter() - started
    return seconds


def time_steps(data: TrainingData, config: TrialConfig, seed: int, num_threads: int) -> float:
    """Seconds of an epoch's forward and backward passes and optimiser steps alone, on batches made beforehand."""
    network, optimizer = _prepare(config, num_threads)
    feed = training_feed(data, config, CPU, seed)
    batches = [(images, labels) for images, labels in next(iter(feed)) if len(labels) == config.batch_size]
    for images, labels in islice(cycle(batches), feed.num_batches // 4):
        _step(network, optimizer, images, labels)
    started = time.perf_counter()
    for images, labels in islice(cycle(batches), feed.num_batches):
        _step(network, optimizer, images, labels)
    return time.perf_counter() - started


def _prepare(config: TrialConfig, num_threads: int) -> tuple[nn.Module, Optimizer]:
    torch.set_num_threads(num_threads)
    keep_freed_memory()
    network = build_model(config)
    optimizer = SGD(
        network.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )
    return network, optimizer


def _step(network: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
    with _precision():
        loss = functional.cross_entropy(network(images), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    optimizer.step()


def _precision() -> torch.autocast:
    """Autocast to the precision of our trials on this CPU."""
    return torch.autocast("cpu", torch.bfloat16, enabled=choose_precision(CPU) == "bf16-mixed")
