"""Checkpoints: what they cost where the way to the store is slow."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Any

from benchmarks import ours
from benchmarks.contender import Contender
from benchmarks.measuring import Figure, Readings, Target, interleave
from benchmarks.s3 import running_s3
from benchmarks.setting import Section, Setting, cut
from benchmarks.throttle import Throttle
from cifar_ray.data.split import TrainingData
from cifar_ray.storage.object_store import open_store
from cifar_ray.studies import TrialConfig
from cifar_ray.training.trial import train_trial

CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=4,
    learning_rate=0.001,
    optimizer="adam",
    weight_decay=0.005,
    dropout=0.1,
    augmentation=True,
    batch_norm=True,
)
"""Adam, since its state makes the largest checkpoints: three times the weights."""
BYTES_PER_S = 20e6
STORED = "checkpoints/to S3 at 20 MB/s"
DROPPED = "checkpoints/none"

FIGURES = (
    Figure(
        name=f"classic CNN: {CONFIG.max_epochs} epochs, checkpoints at 20 MB/s",
        unit="s",
        ours=STORED,
        opponents=(DROPPED,),
        ratio="ours / opponent",
        target=Target(kind="at most", value=1.02),
    ),
)


def measure(setting: Setting, readings: Readings) -> None:
    """The same training with each store, until its last checkpoint has arrived."""
    with running_s3() as s3, Throttle(s3.host, s3.port, BYTES_PER_S) as throttle:
        environ = {**s3.environ, "AWS_ENDPOINT_URL_S3": throttle.endpoint_url}
        with Contender(setting, environ=environ) as with_store, Contender(setting) as without:
            arguments = (CONFIG, setting.seed, setting.num_threads)
            sides = {
                STORED: partial(with_store.run, train, *arguments, s3.storage),
                DROPPED: partial(without.run, train, *arguments, None),
            }
            for side, storage in ((with_store, s3.storage), (without, None)):
                side.run(warm_up, *arguments, storage)
            interleave(readings, sides, CHECKPOINTS.rounds_of(setting))


def train(data: TrainingData, config: TrialConfig, seed: int, num_threads: int, storage: str | None) -> float:
    """Seconds of a whole training, its checkpoints to `storage` or dropped."""
    trial = ours.make_trial(
        config,
        store=open_store(storage) if storage else None,
        # a new one each time: nothing there to go on from
        sweep_id=f"bench-{uuid.uuid4().hex}",
    )
    started = time.perf_counter()
    train_trial(trial, data, lambda metrics: None, data_seed=seed, num_threads=num_threads)
    return time.perf_counter() - started


def warm_up(data: TrainingData, *arguments: Any) -> float:
    """The same on few images."""
    return train(cut(data, ours.NUM_WARM_UP_IMAGES, ours.NUM_WARM_UP_IMAGES), *arguments)


CHECKPOINTS = Section(
    name="checkpoints",
    what=f"{CONFIG.max_epochs} epochs of a classic CNN, with checkpoints to an S3 server at 20 MB/s and without",
    round_s=30,
    quick_round_s=15,
    figures=FIGURES,
    measure=measure,
)
