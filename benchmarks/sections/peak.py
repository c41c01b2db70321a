"""The machine's measured peak, and what share of it our training reaches."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks import ours
from benchmarks.contender import Contender
from benchmarks.measuring import Figure, Readings, Target, interleave
from benchmarks.peaks import Convolution, convolution_rate, product_rate, training_flops
from benchmarks.sections.resnet import CONFIG, FEW
from benchmarks.setting import Section, Setting, cut
from cifar_ray.data.split import TrainingData
from cifar_ray.studies import get_study

SHAPES = (
    Convolution(num_channels=64, size=32, batch_size=64),
    Convolution(num_channels=256, size=32, batch_size=64),
)
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PRODUCT_SIZE = 2048
BUDGET_S = 1.0
GIGA = 1e9
COHORT_SIZE = 16
NUM_STEPS = 8
NUM_COHORT_STEPS = 64
OUR_RESNET = "peak/ours, ResNet-18 step"
OUR_COHORT = f"peak/ours, cohort of {COHORT_SIZE}"


def _fastest(name: str) -> str:
    return f"peak/fastest convolution, {name}"


FIGURES = (
    Figure(
        name="ResNet-18, batch 64: share of the bf16 convolution peak",
        unit="GFLOP/s",
        ours=OUR_RESNET,
        opponents=(_fastest("bfloat16"),),
        ratio="ours / opponent",
        target=Target(kind="at least", value=0.6),
    ),
    Figure(
        name=f"classic CNN, cohort of {COHORT_SIZE}: share of the float32 convolution peak",
        unit="GFLOP/s",
        ours=OUR_COHORT,
        opponents=(_fastest("float32"),),
        ratio="ours / opponent",
    ),
    *(Figure(name=f"matrix product, {name}", unit="GFLOP/s", ours=f"peak/product, {name}") for name in TYPES),
    *(
        Figure(name=f"convolution {shape}, {name}", unit="GFLOP/s", ours=f"peak/convolution {shape}, {name}")
        for name in TYPES
        for shape in SHAPES
    ),
)


def measure(setting: Setting, readings: Readings) -> None:
    """Products and convolutions in both types, then a few steps of ResNet-18 and of a cohort."""
    resnet_data = cut(setting.data, NUM_STEPS * CONFIG.batch_size, FEW)
    cohort_data = cut(setting.data, NUM_COHORT_STEPS * CONFIG.batch_size, FEW)
    with (
        Contender(setting) as bare,
        Contender(setting, data=resnet_data) as resnet,
        Contender(setting, data=cohort_data) as cohort,
    ):
        sides = {
            f"peak/product, {name}": partial(bare.run, run_product, name, setting.num_threads) for name in TYPES
        } | {
            f"peak/convolution {shape}, {name}": partial(bare.run, run_convolution, name, shape, setting.num_threads)
            for name in TYPES
            for shape in SHAPES
        }
        sides |= {
            OUR_RESNET: partial(resnet.run, run_resnet, setting.seed, setting.num_threads),
            OUR_COHORT: partial(cohort.run, run_cohort, setting.seed, setting.num_threads),
        }
        for _ in range(PEAK.rounds_of(setting)):
            interleave(readings, sides, 1)
            for name in TYPES:
                rates = [readings.last(f"peak/convolution {shape}, {name}") for shape in SHAPES]
                readings.note(_fastest(name), max(rates))


def run_product(data: TrainingData, type_name: str, num_threads: int) -> float:
    """GFLOP/s."""
    torch.set_num_threads(num_threads)
    return product_rate(torch.device("cpu"), TYPES[type_name], PRODUCT_SIZE, BUDGET_S) / GIGA


def run_convolution(data: TrainingData, type_name: str, shape: Convolution, num_threads: int) -> float:
    """GFLOP/s."""
    torch.set_num_threads(num_threads)
    return convolution_rate(torch.device("cpu"), TYPES[type_name], shape, BUDGET_S) / GIGA


def run_resnet(data: TrainingData, seed: int, num_threads: int) -> float:
    """GFLOP/s of the steps of a second epoch."""
    seconds = ours.time_epoch(data, CONFIG, seed, num_threads)
    return training_flops(CONFIG) * len(data.train) / CONFIG.batch_size / seconds / GIGA


def run_cohort(data: TrainingData, seed: int, num_threads: int) -> float:
    """GFLOP/s of an epoch."""
    configs = get_study("cnn").with_budget(num_trials=COHORT_SIZE, max_epochs=1).sample(seed)
    seconds = ours.time_cohort_epoch(data, configs, seed, num_threads)
    flops = sum(training_flops(config) / config.batch_size for config in configs)
    return flops * len(data.train) / seconds / GIGA


PEAK = Section(
    name="peak",
    what="matrix products and convolutions of this machine, and the share that our training reaches",
    round_s=40,
    quick_round_s=30,
    figures=FIGURES,
    measure=measure,
)
