"""Trials that begin with the weights of another: a population's, from its second generation on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import safetensors.torch
import torch
import trials

from cifar_ray.data.split import TrainingData
from cifar_ray.errors import CheckpointError
from cifar_ray.models.speed_net import SpeedNet
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.cohort import Cohort
from cifar_ray.training.feeds import sample_images
from cifar_ray.training.learner import Learner, Trial
from cifar_ray.training.state import pack_trainer_state, unpack_trainer_state, unpack_weights

CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=2,
    learning_rate=0.003,
    optimizer="sgd",
    weight_decay=0.001,
    dropout=0.3,
    augmentation=True,
    batch_size=16,
)


Make = Callable[..., Trial]
RunTrial = Callable[[Trial], list[EpochMetrics]]


@pytest.fixture
def make(runs: RunStore) -> Make:
    def make(trial_id: str, parent: str | None = None, **settings: object) -> Trial:
        config = replace(CONFIG, **settings)  # type: ignore[arg-type]  # the test's own settings
        return trials.make_trial(runs, config, trial_id, parent=parent)

    return make


@pytest.fixture(params=["alone", "in a cohort"])
def train(request: pytest.FixtureRequest, training_data: TrainingData) -> RunTrial:
    """Gives the epochs of a trial."""

    def train_alone(trial: Trial) -> list[EpochMetrics]:
        return trials.train(trial, training_data)

    def train_in_cohort(trial: Trial) -> list[EpochMetrics]:
        cohort = Cohort(training_data, data_seed=0)
        learner = cohort.add(trial)
        while not learner.is_finished:
            cohort.train_epoch([trial.trial_id])
        cohort.close()
        return learner.history

    return train_alone if request.param == "alone" else train_in_cohort


def results(lines: list[EpochMetrics]) -> list[tuple[float | None, float]]:
    return [(line.train_loss, line.validation_accuracy) for line in lines]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_heirs_with_the_same_settings_go_on_as_if_nothing_had_happened(
    make: Make, train: RunTrial, optimizer: str
) -> None:
    """At a fixed rate: momenta, order of the batches, augmentation and dropout are those of one long training."""
    undisturbed = train(make("t0000", optimizer=optimizer, max_epochs=6))
    generations = [train(make(f"t000{n + 1}", f"t000{n}" if n else None, optimizer=optimizer)) for n in range(3)]
    assert [line.epoch for line in generations[2]] == [1, 2]
    assert {line.trial_id for line in generations[2]} == {"t0003"}
    assert results([line for lines in generations for line in lines]) == results(undisturbed)


def test_an_heir_has_settings_and_schedule_of_its_own(make: Make, training_data: TrainingData) -> None:
    cycle = {"schedule": "one_cycle"}
    first, last = (line.learning_rate for line in trials.train(make("t0001", **cycle), training_data))
    heir = make("t0002", "t0001", **cycle, learning_rate=0.006, weight_decay=0.1)
    heirs = [line.learning_rate for line in trials.train(heir, training_data)]
    assert heirs == pytest.approx([2 * first, 2 * last])
    with ThreadPoolExecutor(1) as executor:
        heir = make("t0003", "t0001", learning_rate=0.006, weight_decay=0.1, momentum=0.5)
        learner = Learner(heir, device=torch.device("cpu"), steps_per_epoch=1, executor=executor)
        (group,) = learner.optimizer.param_groups
        assert (group["lr"], group["weight_decay"], group["momentum"]) == (0.006, 0.1, 0.5)
        assert all("momentum_buffer" in learner.optimizer.state[each] for each in group["params"])


def test_the_weights_are_gathered_once_for_a_checkpoint(
    make: Make, epoch_metrics: list[EpochMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for each weight that is averaged; live weights and averages are where `load` looks for them."""
    trial = make("t0000", averaging="ema", batch_norm=True)
    with ThreadPoolExecutor(1) as executor:
        learner = Learner(trial, device=torch.device("cpu"), steps_per_epoch=1, executor=executor)
        live = {name: each.clone() for name, each in learner.network.state_dict().items()}
        assert learner.average is not None
        for each in learner.average.average.values():
            each += 1
        gather, calls = learner.network.state_dict, []
        monkeypatch.setattr(learner.network, "state_dict", lambda: calls.append(1) or gather())
        learner.end_epoch(epoch_metrics[0], data_pass=1)
        learner.drain()
    assert len(calls) == 1
    checkpoint = trial.checkpoints.load(1)
    kept = unpack_trainer_state(checkpoint.trainer_state).live
    assert kept is not None
    for name, values in unpack_weights(checkpoint.weights).items():
        assert torch.equal(values, live[name] + (name in kept)), name
        assert torch.equal(kept.get(name, values), live[name]), name
    assert len(kept) == len(live) - 2, "all but the counts of batches"


def test_an_heir_that_is_killed_goes_on_from_its_own_checkpoint(make: Make, training_data: TrainingData) -> None:
    trials.train(make("t0001"), training_data)
    changed = {"max_epochs": 3, "learning_rate": 0.01}
    undisturbed = trials.train(make("t0002", "t0001", **changed), training_data)
    trials.train(make("t0003", "t0001", **changed), training_data, until=2)
    resumed = trials.train(make("t0003", "t0001", **changed), training_data)
    assert results(resumed) == results(undisturbed)


def test_a_speed_net_is_whitened_for_the_training_images(make: Make, training_data: TrainingData) -> None:
    trial = make("t0000", model="speed_net", widening=0.5, dropout=0.0, max_epochs=1)
    trials.train(trial, training_data)
    checkpoint = trial.checkpoints.load_newest(lambda _: None)
    assert checkpoint is not None
    expected = SpeedNet()
    expected.whiten(sample_images(training_data))
    whitening = safetensors.torch.load(checkpoint.weights)["whitening.weight"]
    assert torch.allclose(whitening, expected.whitening.weight, atol=1e-5)


def test_a_parent_without_a_checkpoint_is_an_error(make: Make, train: RunTrial) -> None:
    with pytest.raises(CheckpointError, match="begin with the weights of t0001, which has left none"):
        train(make("t0002", "t0001"))


def test_a_checkpoint_of_another_version_says_so(make: Make, train: RunTrial) -> None:
    """Of another network, or of another optimiser, though its settings are the trial's."""
    trial = make("t0000")
    train(trial)
    written = trial.checkpoints.load_newest(lambda _: None)
    assert written is not None
    weights = safetensors.torch.load(written.weights) | {"bias.of.old": torch.zeros(1)}
    trial.checkpoints.save(replace(written, weights=safetensors.torch.save(weights)))
    with pytest.raises(CheckpointError, match="the weights do not fit") as caught:
        train(trial)
    assert "another version" in str(caught.value.hint)
    state = unpack_trainer_state(written.trainer_state)
    for other in ({"optimizer": {"param_groups": []}}, {"history": [{"epoch": 1, "colour": "red"}]}):
        trial.checkpoints.save(replace(written, trainer_state=pack_trainer_state(replace(state, **other))))
        with pytest.raises(CheckpointError, match="the trainer state of t0000 does not fit"):
            train(trial)
