"""What Ray Tune's controller is taught, on the part of it that is concerned. `make chaos` has it with real nodes."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.execution.tune_controller import TrialRunnerWrapper
from ray.tune.experiment import Trial

from cifar_ray.tuning.lenient_asha import LenientASHA, _hear_of_a_loss_once
from cifar_ray.tuning.patient_trainable import STOP_DEADLINE_S

LOST = ActorUnavailableError("the actor is temporarily unavailable", None)
RAISED = RayTaskError("train", "Traceback", ValueError("a bug"))


@dataclass(frozen=True)
class FakeTrial:
    status: str


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
def test_a_process_that_was_lost_is_heard_of_once(
    status: str, has_process: bool, exception: Exception, is_heard: bool
) -> None:
    heard: list[object] = []
    trial, other = FakeTrial(status), FakeTrial("another")
    controller = SimpleNamespace(
        _trial_to_actor=[trial] if has_process else [],
        _resetting_trials={trial, other},
        _trial_task_failure=lambda trial, exception: heard.append(exception),
    )
    _hear_of_a_loss_once(controller)
    controller._trial_task_failure(trial, exception=exception)
    assert heard == [exception] * is_heard
    assert controller._resetting_trials == {other}


def test_the_controller_is_taught_once_however_many_trials_are_added() -> None:
    """Ray Tune wraps it anew for each: a thousand layers were more than Python's stack holds."""

    def fail(*, exception: Exception, **task: object) -> None:
        raise exception

    manager = SimpleNamespace(_actor_task_failed=fail)
    controller = SimpleNamespace(
        _actor_force_cleanup_timeout=10, _actor_manager=manager, _trial_task_failure=fail, _trial_to_actor={}
    )
    asha = LenientASHA(time_attr="epoch", metric="accuracy", mode="max")
    taught = set()
    for index in range(3):
        wrapper = TrialRunnerWrapper(controller, SimpleNamespace())
        asha.on_trial_add(wrapper, SimpleNamespace(trial_id=str(index)))
        taught.add((manager._actor_task_failed, controller._trial_task_failure))
    assert len(taught) == 1
    assert controller._actor_force_cleanup_timeout == STOP_DEADLINE_S
    with pytest.raises(RayActorError, match="no memory"):
        manager._actor_task_failed(exception=OutOfMemoryError("no memory"))
