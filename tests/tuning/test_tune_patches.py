"""Each change to Ray Tune's controller, on the parts of it that are concerned. `make chaos` has real nodes."""

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.trainable import Trainable
from ray.tune.trainable.metadata import _TrainingRunMetadata

from cifar_ray.tuning.epoch_report import TIME_ATTRIBUTE
from cifar_ray.tuning.member import MAX_LOSSES
from cifar_ray.tuning.member_threads import MemberThreads
from cifar_ray.tuning.patient_trainable import STOP_DEADLINE_S
from cifar_ray.tuning.sweep import _TUNE_ENVIRONMENT
from cifar_ray.tuning.tune_patches import handle_lost_processes, pass_on_no_keys, patch

LOST = ActorUnavailableError("The actor is temporarily unavailable", None)
DIED = "The actor died unexpectedly before finishing this task.\nThe actor is dead because {}."
RAISED = RayTaskError("train", "Traceback", ValueError("a bug"))


class FakeTrial:
    """What the scheduler looks at of a Ray Tune trial."""

    def __init__(self, status: str) -> None:
        self.trial_id, self.status = "1", status
        self.run_metadata = _TrainingRunMetadata()

    @property
    def metric_analysis(self) -> dict[str, dict[str, float]]:
        return self.run_metadata.metric_analysis


@pytest.mark.parametrize(
    ("status", "has_process", "exception", "is_heard"),
    [
        (Trial.RUNNING, True, LOST, True),
        # its process died as it started
        (Trial.PENDING, True, LOST, True),
        # it waits for another already
        (Trial.PENDING, False, LOST, False),
        (Trial.PENDING, False, RAISED, True),
    ],
)
def test_a_lost_process_is_handled_once(status: str, has_process: bool, exception: Exception, is_heard: bool) -> None:
    heard: list[object] = []
    trial, other = FakeTrial(status), FakeTrial("another")
    controller = SimpleNamespace(
        _trial_to_actor=[trial] if has_process else [],
        _resetting_trials={trial, other},
        _trial_task_failure=lambda trial, exception: heard.append(exception),
    )
    handle_lost_processes(controller)
    controller._trial_task_failure(trial, exception=exception)
    assert heard == [exception] * is_heard
    assert controller._resetting_trials == {other}


@pytest.mark.parametrize(
    ("exception", "counted"),
    [
        (RayActorError("1d06", DIED.format("its node has died")), 0),
        (LOST, 0),
        # of a preempted one Ray Tune would count nothing: taken back nevertheless, it left minus one
        (RayActorError("1d06", DIED.format("its node has died"), preempted=True), 0),
        (RayActorError("1d06", DIED.format("its process was killed")), 1),
    ],
)
def test_a_lost_node_is_no_failure_of_its_trials(
    exception: Exception, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _TUNE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    trial: Any = FakeTrial(Trial.RUNNING)
    judged: list[int] = []

    def judge(trial: Any, exception: Exception) -> None:
        Trial._handle_ray_actor_error(trial, exception)
        judged.append(trial.run_metadata.num_failures)

    controller = SimpleNamespace(_trial_to_actor=[trial], _resetting_trials=set(), _trial_task_failure=judge)
    handle_lost_processes(controller)

    def lose(times: int) -> None:
        for _ in range(times):
            controller._trial_task_failure(trial, exception=exception)

    lose(MAX_LOSSES)
    # an epoch, and those before it told again
    for epoch in (1, 2, 1):
        trial.run_metadata.update_metric(TIME_ATTRIBUTE, epoch)
    lose(MAX_LOSSES)
    assert judged[-1] == max(judged) == 2 * MAX_LOSSES * counted, "Ray Tune judges by the sum there and then"
    lose(1)
    assert judged[-1] == 2 * MAX_LOSSES * counted + 1, "no epoch between so many"


@pytest.mark.parametrize("watch", [None, SimpleNamespace(engines=[])])
def test_trials_of_cohorts_are_threads(watch: Any) -> None:
    own: Any = SimpleNamespace(_actor_task_failed=None)
    controller: Any = SimpleNamespace(_actor_manager=own, _trial_task_failure=None, _actor_force_cleanup_timeout=10)
    patch(controller, watch)
    assert isinstance(controller._actor_manager, MemberThreads) == (watch is not None)
    assert controller._actor_force_cleanup_timeout == (STOP_DEADLINE_S if watch is None else 0)


@pytest.mark.parametrize(
    "name",
    [
        *("_actor_force_cleanup_timeout", "_actor_manager", "_trial_task_failure"),
        *("_resetting_trials", "_trial_to_actor"),
    ],
)
def test_the_controller_has_the_patched_attributes(name: str) -> None:
    """Ray's private names: to set one that it no longer has would do nothing, and say nothing."""
    assert f"self.{name}" in inspect.getsource(TuneController)


def test_keys_are_not_in_the_runtime_environment_of_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray writes it to its logs, and shows it in its dashboard."""
    names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_CHDIR_TO_TRIAL_DIR"}
    for name in names:
        assert name in inspect.getsource(class_cache) or name.startswith("RAY_"), "then this is no longer needed"
        monkeypatch.setenv(name, "0")
    # another test may have taken them out
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", names)

    def passed_on() -> set[str]:
        return set(class_cache._ActorClassCache().get(Trainable)._default_options["runtime_env"]["env_vars"])

    assert passed_on() == names | {"PL_DISABLE_FORK"}
    pass_on_no_keys()
    assert passed_on() == {"RAY_CHDIR_TO_TRIAL_DIR", "PL_DISABLE_FORK"}


def test_ray_tune_reads_the_variables_that_we_set() -> None:
    """Of its own, those that it still knows; the others are read where its processes start."""
    sources = "".join(path.read_text() for path in Path(inspect.getfile(TuneController)).parents[1].rglob("*.py"))
    for name in (each for each in _TUNE_ENVIRONMENT if each.startswith("TUNE_")):
        assert name in sources, name
