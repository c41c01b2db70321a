from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
import trials
from pytorch_lightning.plugins.precision import MixedPrecision
from torch.nn import functional

from cifar_ray.data import resident
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import CheckpointError
from cifar_ray.models import build_model, convolution
from cifar_ray.records import EpochMetrics
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training import learner
from cifar_ray.training.feeds import validation_feed
from cifar_ray.training.learner import Trial
from cifar_ray.training.state import unpack_trainer_state, unpack_weights
from cifar_ray.training.trial import train_trial

CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=4,
    learning_rate=0.003,
    optimizer="adam",
    weight_decay=0.001,
    dropout=0.1,
    augmentation=True,
    batch_norm=True,
    batch_size=16,
)


@dataclass(frozen=True)
class Run:
    """A trial with the data that it trains on."""

    trial: Trial
    data: TrainingData


MakeTrial = Callable[..., Run]


@pytest.fixture
def make_trial(runs: RunStore, training_data: TrainingData) -> MakeTrial:
    def make(trial_id: str = "t0000", **settings: object) -> Run:
        config = replace(CONFIG, **settings)  # type: ignore[arg-type]  # the test's own settings
        return Run(trials.make_trial(runs, config, trial_id), training_data)

    return make


def run(run_of_trial: Run, until: int = 0) -> list[EpochMetrics]:
    return trials.train(run_of_trial.trial, run_of_trial.data, until)


def without_times(lines: list[EpochMetrics]) -> list[EpochMetrics]:
    return [replace(line, trial_id="", seconds=0.0) for line in lines]


def test_it_learns(make_trial: MakeTrial) -> None:
    lines = run(make_trial(max_epochs=8, augmentation=False, dropout=0.0))
    assert [line.epoch for line in lines] == list(range(1, 9))
    losses = [line.train_loss or 0.0 for line in lines]
    assert losses[-1] < 0.8 * losses[0]
    assert lines[-1].train_accuracy > lines[0].train_accuracy


def test_one_seed_one_result(make_trial: MakeTrial) -> None:
    one, other, third = (run(make_trial(f"t000{index}", seed=seed)) for index, seed in enumerate((42, 42, 7)))
    assert without_times(one) == without_times(other) != without_times(third)


@pytest.mark.parametrize(
    "settings",
    [
        *(
            {"optimizer": optimizer, "schedule": schedule}
            for optimizer in ("adam", "sgd")
            for schedule in ("none", "steps", "cosine", "one_cycle")
        ),
        {"averaging": "ema"},
        {"averaging": "lookahead", "schedule": "triangular", "optimizer": "sgd", "nesterov": True},
        {"mixup": 0.2, "label_smoothing": 0.1, "cutout": 8},
        {"alternating_flip": True, "rotation": False, "crop_border": "reflected", "crop_padding": 2},
        {"optimizer": "adamw", "decays_all": False, "bias_rate": 4.0, "schedule": "one_cycle"},
        {"gradient_clipping": 0.1, "rate_scaling": "square_root"},
        {"model": "speed_net", "averaging": "lookahead", "max_epochs": 3},
        {"model": "speed_net", "block_depth": 3, "widening": 0.5, "max_epochs": 3},
        {"model": "speed_net", "first_size": 24, "cutout": 8, "max_epochs": 3},
        {"model": "speed_net", "flip_equivariant": True, "optimizer": "muon", "max_epochs": 3},
        {"model": "nf_resnet", "first_size": 17, "max_epochs": 3, "batch_size": 64},
        {"optimizer": "muon", "nesterov": True, "schedule": "one_cycle", "bias_rate": 4.0},
    ],
    ids=lambda settings: ", ".join(f"{name} {value}" for name, value in settings.items()),
)
def test_a_resumed_trial_equals_an_undisturbed_one(make_trial: MakeTrial, settings: dict[str, object]) -> None:
    undisturbed = run(make_trial("t0000", **settings))
    told = run(make_trial("t0001", **settings), until=2)
    resumed = run(make_trial("t0001", **settings))
    assert resumed[:2] == told, "to the second: told again, not trained again"
    assert without_times(resumed) == without_times(undisturbed)


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"label_smoothing": 0.3}, {"gradient_clipping": 0.001}])
def test_settings_reach_the_training(make_trial: MakeTrial, settings: dict[str, object]) -> None:
    plain, changed = (
        run(make_trial(trial, max_epochs=1, **each)) for trial, each in (("t0000", {}), ("t0001", settings))
    )
    assert changed[0].train_loss != pytest.approx(plain[0].train_loss, rel=1e-3)


def test_images_grow_within_a_training(make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is broken off, too; those that validate are whole."""
    seen: list[tuple[bool, int]] = []

    def build_watched(config: TrialConfig) -> torch.nn.Module:
        network = build_model(config)
        network.register_forward_pre_hook(lambda module, inputs: seen.append((module.training, inputs[0].shape[-1])))
        return network

    monkeypatch.setattr(learner, "build_model", build_watched)
    trial = make_trial(model="speed_net", first_size=24, batch_size=1000)
    trained = [(True, 24), (False, 32), (True, 24), (False, 32), (True, 32), (False, 32), (True, 32), (False, 32)]
    for epoch in (1, 3):
        run(trial, until=epoch)
        assert seen == trained[: 2 * epoch]
    run(trial)
    assert seen == trained


def test_what_is_validated_is_what_is_kept(make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the weights that are trained, where an average of them is validated."""
    # one of twenty images could change sides in bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    run_of_trial = make_trial(averaging="ema", max_epochs=2)
    lines = run(run_of_trial)
    checkpoint = run_of_trial.trial.checkpoints.load_newest(print)
    assert checkpoint is not None
    network = build_model(run_of_trial.trial.config)
    network.load_state_dict(unpack_weights(checkpoint.weights))
    (((images, labels),),) = validation_feed(run_of_trial.data, torch.device("cpu"))
    logits = network.eval()(images)
    loss = functional.cross_entropy(logits, labels)
    # that of the weights in training is 0.06 away, rounding to bfloat16 0.001
    assert loss.item() == pytest.approx(lines[-1].validation_loss, abs=0.01)
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    assert accuracy == pytest.approx(lines[-1].validation_accuracy) != pytest.approx(lines[-1].train_accuracy)
    live = unpack_trainer_state(checkpoint.trainer_state).live
    assert live is not None
    assert not torch.equal(live["conv1.0.weight"], network.state_dict()["conv1.0.weight"])
    unaveraged = make_trial("t0001", max_epochs=2)
    run(unaveraged)
    trained = unaveraged.trial.checkpoints.load_newest(print)
    assert trained is not None
    assert torch.equal(live["conv1.0.weight"], unpack_weights(trained.weights)["conv1.0.weight"])


def test_a_checkpoint_of_before_a_setting_came_is_taken_up(make_trial: MakeTrial) -> None:
    run_of_trial = make_trial()
    run(run_of_trial, until=2)
    checkpoints = run_of_trial.trial.checkpoints
    newest = checkpoints.load_newest(print)
    assert newest is not None
    older = {name: value for name, value in newest.config.items() if name not in ("averaging", "mixup")}
    checkpoints.save(replace(newest, config=older))
    assert [line.epoch for line in run(run_of_trial)] == [1, 2, 3, 4]


def test_files_of_a_checkpoint_that_was_cut_off_go_when_the_trial_goes_on(
    make_trial: MakeTrial, runs: RunStore
) -> None:
    run(make_trial(), until=2)
    runs.objects.write(f"{layout.checkpoint('cnn-1', 't0000', 7)}/{layout.WEIGHTS}", b"cut off")
    run(make_trial())
    assert not [key for key in runs.objects.keys("cnn-1") if "epoch-0007" in key]


def test_a_finished_trial_only_repeats_its_metrics(make_trial: MakeTrial) -> None:
    first = run(make_trial())
    assert run(make_trial()) == first


def test_best_and_newest_checkpoints_are_kept(make_trial: MakeTrial) -> None:
    run_of_trial = make_trial(max_epochs=8)
    lines = run(run_of_trial)
    trial = run_of_trial.trial
    best = max(lines, key=lambda line: (line.validation_accuracy, -line.epoch)).epoch
    assert trial.checkpoints.epochs() == sorted({best, 7, 8})
    checkpoint = trial.checkpoints.load_best(print)
    assert checkpoint is not None
    assert checkpoint.epoch == best
    build_model(trial.config).load_state_dict(unpack_weights(checkpoint.weights))


@pytest.mark.fault("a checkpoint is damaged")
def test_a_damaged_newest_checkpoint_costs_one_epoch(
    make_trial: MakeTrial, runs: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = run(make_trial("t0000"))
    run(make_trial("t0001"), until=3)
    key = f"{layout.checkpoint('cnn-1', 't0001', 3)}/{layout.WEIGHTS}"
    runs.objects.write(key, runs.objects.read(key)[:-1])
    assert without_times(run(make_trial("t0001"))) == without_times(undisturbed)
    assert "does not match its manifest: passed over" in caplog.text


def test_a_checkpoint_of_other_settings_is_refused(make_trial: MakeTrial) -> None:
    run(make_trial(), until=1)
    with pytest.raises(CheckpointError, match="other settings"):
        run(make_trial(learning_rate=0.1))


@pytest.mark.fault("a trial's loss is not finite")
def test_a_diverged_trial_ends_and_saves_nothing_of_it(make_trial: MakeTrial) -> None:
    trial = make_trial(optimizer="sgd", learning_rate=1e12, batch_norm=False, augmentation=False)
    lines = run(trial)
    assert len(lines) == 1
    assert not lines[0].is_finite
    assert trial.trial.checkpoints.epochs() == []


def test_schedules_come_down(make_trial: MakeTrial) -> None:
    def rates(schedule: str) -> list[float]:
        return [
            line.learning_rate / CONFIG.learning_rate
            for line in run(make_trial(f"t{len(schedule):04d}", schedule=schedule))
        ]

    assert rates("none") == [1, 1, 1, 1]
    assert rates("steps") == pytest.approx([1, 1, 0.1, 0.01])
    cosine = rates("cosine")
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[-1] < 0.01
    one_cycle = rates("one_cycle")
    assert max(one_cycle[:2]) > 0.8
    assert one_cycle[-1] < 0.01


def test_a_small_resnet_trains(make_trial: MakeTrial) -> None:
    lines = run(make_trial(model="resnet", batch_norm=False, max_epochs=1))
    assert lines[0].is_finite


def test_threads_follow_the_cpus_of_the_trial(make_trial: MakeTrial, training_data: TrainingData) -> None:
    train_trial(make_trial(max_epochs=1).trial, training_data, lambda _: None, data_seed=0, num_threads=2)
    assert torch.get_num_threads() == 2
    run(make_trial("t0009", max_epochs=1))
    assert torch.get_num_threads() == 1


def test_each_step_of_a_block_has_the_weights_of_the_one_before(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning opens one autocast for a block's steps, which keeps its bfloat16 copies of them if it caches."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(convolution, "_is_faster_joined", lambda *arguments: False)
    monkeypatch.setattr(MixedPrecision, "forward_context", lambda precision: torch.autocast("cpu", torch.bfloat16))
    whole = run(make_trial(max_epochs=1))
    monkeypatch.setattr(resident, "MAX_BLOCK", CONFIG.batch_size)
    assert without_times(run(make_trial("t0001", max_epochs=1))) == without_times(whole)
