"""Compiled code gives what plain code does, and is made once for all trials of a shape."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trials
from torch import nn
from torch._dynamo.utils import counters

from cifar_ray.data.split import TrainingData
from cifar_ray.models import build_model
from cifar_ray.models.dropout import Dropout
from cifar_ray.records import EpochMetrics
from cifar_ray.settings import read_settings
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.compilation import compiled_evaluate
from cifar_ray.training.objective import Objective
from cifar_ray.training.trial_step import TrialStep

pytestmark = [
    # torch's own, of its own
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:torch.*"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for the CPU with g++, which is not here"),
]

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=2,
    learning_rate=0.003,
    optimizer="sgd",
    weight_decay=0.001,
    dropout=0.0,
    batch_size=16,
)


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trials run compiled code, in float32; nothing is left of that."""
    monkeypatch.setenv("CIFAR_RAY_COMPILE", "on")
    monkeypatch.setenv("CIFAR_RAY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    yield
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)


def make_step(config: TrialConfig, switch: str = "on") -> tuple[nn.Module, TrialStep]:
    network = build_model(config)
    return network, TrialStep(network, config, CPU, replace(read_settings(), compiles=switch == "on"))


def train(runs: RunStore, data: TrainingData, trial_id: str, config: TrialConfig) -> list[EpochMetrics]:
    return trials.train(trials.make_trial(runs, config, trial_id), data)


def test_a_second_trial_compiles_nothing(
    compiling: None, runs: RunStore, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of other rate, decay, dropout, seed, optimiser, smoothing; and it learns what it learns without a first one."""
    counters.clear()
    train(runs, training_data, "t0000", CONFIG)
    assert counters["stats"]["unique_graphs"] == 1
    other = replace(
        CONFIG, learning_rate=0.01, weight_decay=0.0, seed=7, optimizer="adam", label_smoothing=0.1, schedule="cosine"
    )
    compiled = train(runs, training_data, "t0001", other)
    train(runs, training_data, "t0002", replace(other, dropout=0.5))
    assert counters["stats"]["unique_graphs"] == 1
    monkeypatch.setenv("CIFAR_RAY_COMPILE", "off")
    for line, expected in zip(compiled, train(runs, training_data, "t0003", other), strict=True):
        assert line.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
        assert line.validation_loss == pytest.approx(expected.validation_loss, rel=1e-3)


def test_dropout_is_data_to_compiled_code(compiling: None) -> None:
    compiled = torch.compile(lambda layer, values: layer(values), fullgraph=True, dynamic=False)
    counters.clear()
    for probability in (0.25, 0.6):
        layer = Dropout(probability)
        values = compiled(layer, torch.ones(20_000))
        assert values.unique().tolist() == pytest.approx([0.0, 1 / (1 - probability)])
        assert (values == 0).float().mean().item() == pytest.approx(probability, abs=0.02)
        assert "probability" not in layer.state_dict()
    assert counters["stats"]["unique_graphs"] == 1


COMPILES = (pytest.mark.compiles, pytest.mark.slow)
SMALL = pytest.mark.parametrize(
    "settings",
    [
        {"model": "classic_cnn", "batch_norm": True, "mixup": 0.2, "label_smoothing": 0.1},
        pytest.param({"model": "deep_cnn", "depth": 4, "width": 8}, marks=COMPILES),
        pytest.param({"model": "resnet"}, marks=COMPILES),
        pytest.param({"model": "nf_resnet"}, marks=COMPILES),
        pytest.param({"model": "speed_net"}, marks=COMPILES),
        pytest.param({"model": "speed_net", "block_depth": 3, "widening": 0.5}, marks=COMPILES),
        pytest.param({"model": "speed_net", "flip_equivariant": True, "widening": 0.5}, marks=COMPILES),
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)


@SMALL
def test_compiled_steps_are_plain_steps(compiling: None, settings: dict[str, object]) -> None:
    """Loss, gradients and running statistics, of two batches; a smaller one runs as plain code."""
    config = TrialConfig.from_dict({**CONFIG.to_dict(), "batch_size": 4, **settings})
    (plain, take_plain), (compiled, take_compiled) = make_step(config, "off"), make_step(config)
    generator = torch.Generator().manual_seed(0)
    objectives = [Objective(config, seed=0) for _ in range(2)]
    counters.clear()
    for size in (4, 4, 3):
        images = torch.randn(size, 3, 32, 32, generator=generator).to(memory_format=torch.channels_last)
        labels = torch.randint(10, (size,), generator=generator)
        found = take_compiled(objectives[0].prepare(images, labels))
        expected = take_plain(objectives[1].prepare(images, labels))
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1
    # a bias before batch norm has a gradient of rounding errors alone
    scale = max(each.grad.abs().max().item() for each in plain.parameters() if each.grad is not None)
    for (name, one), other in zip(compiled.named_parameters(), plain.parameters(), strict=True):
        if other.grad is not None:
            assert one.grad is not None
            assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-4 * scale), name
    for (name, one), other in zip(compiled.named_buffers(), plain.buffers(), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5), name


def test_by_default_the_cpu_compiles_nothing() -> None:
    assert compiled_evaluate(CPU, read_settings({})) is None


def test_a_user_without_a_name_has_one_for_torch(compiling: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number of which its passwd says nothing."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def find_none(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", find_none)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    # which monkeypatch takes away again
    monkeypatch.setenv("LOGNAME", "")
    assert compiled_evaluate(CPU, read_settings()) is not None
    assert getpass.getuser() == f"uid{os.getuid()}"


def test_what_was_compiled_is_read_from_the_cache_folder(compiling: None) -> None:
    """By a process that has forgotten it. The folder is that of all tests here, since a new one costs seconds."""
    settings = read_settings()
    config = replace(CONFIG, batch_size=3)
    images, labels = torch.zeros(3, 3, 32, 32), torch.arange(3)
    for is_later in (False, True):
        torch._dynamo.reset()
        counters.clear()
        _, step = make_step(config)
        step(Objective(config, 0).prepare(images, labels))
        hits, misses = (counters["inductor"][f"fxgraph_cache_{what}"] for what in ("hit", "miss"))
        assert (hits > 0, misses > 0) == (is_later, not is_later)
    assert [each.name for each in settings.cache.iterdir()] == [f"compiled-{os.getuid()}"]


PROGRAM = """
from dataclasses import replace
import torch
from torch import nn
from torch._dynamo.utils import counters
from cifar_ray.models import build_model
from cifar_ray.settings import read_settings
from cifar_ray.studies import TrialConfig
from cifar_ray.training.objective import Objective
from cifar_ray.training.trial_step import TrialStep

config = TrialConfig(model="classic_cnn", max_epochs=1, learning_rate=0.1, optimizer="sgd", weight_decay=0.0,
                     dropout=0.0, batch_size=4)
example = Objective(config, 0).prepare(torch.zeros(4, 3, 32, 32), torch.arange(4))
settings = read_settings()
compiled, plain = (
    TrialStep(build_model(config), config, torch.device("cpu"), replace(settings, compiles=compiles))
    for compiles in (True, False)
)
losses = [step(example)[0].item() for step in (compiled, compiled, plain)]
assert max(losses) - min(losses) < 1e-5, losses
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""


def run_program(cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "CIFAR_RAY_COMPILE": "on", "CIFAR_RAY_CACHE": str(cache), **variables}
    environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=True)


def test_without_a_compiler_training_goes_on_with_one_line(tmp_path: Path) -> None:
    lines = run_program(tmp_path, CXX="/no/such/compiler").stderr.splitlines()
    assert len([line for line in lines if "training goes on without compilation" in line]) == 1


@pytest.mark.slow
@pytest.mark.compiles
def test_a_later_process_finds_what_an_earlier_one_compiled(tmp_path: Path) -> None:
    found = [run_program(tmp_path).stdout.split() for _ in range(2)]
    hits, misses = zip(*(map(int, words) for words in found), strict=True)
    assert hits[0] == 0 < misses[0]
    assert misses[1] == 0 < hits[1]
    assert [each.name for each in tmp_path.iterdir()] == [f"compiled-{os.getuid()}"]
