"""What Ray Tune's controller is taught, on the part of it that is concerned. `make chaos` has it with real nodes."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorUnavailableError, RayTaskError
from ray.tune.experiment import Trial

from cifar_ray.tuning.lenient_asha import _hear_of_a_loss_once

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
