"""The only module that makes ids and keys of the object store."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from cifar_ray.errors import ConfigurationError

SWEEP_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
TRIAL_ID = re.compile(r"t[0-9]{4,6}")
_CHECKPOINT = re.compile(rf"[^/]+/trials/({TRIAL_ID.pattern})/checkpoints/epoch-([0-9]{{4,}})/")

SWEEP_RECORD = "sweep.json"
RESULT = "result.json"
LEASE = "lease.json"

WEIGHTS = "model.safetensors"
TRAINER_STATE = "trainer.pt"
MANIFEST = "manifest.json"


def new_id(name: str) -> str:
    """A name, the time and four random bytes, so that two of the same second differ."""
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def check_sweep_id(sweep_id: str) -> str:
    """`sweep_id`, or ConfigurationError where it cannot be part of a key."""
    if not SWEEP_ID.fullmatch(sweep_id):
        raise ConfigurationError(
            f"sweep id {sweep_id!r} is malformed", "take 2 to 63 lower-case letters, digits and dashes"
        )
    return sweep_id


def trial_id(index: int) -> str:
    """The id of a sweep's trial number `index`, counted from 0."""
    return f"t{index:04d}"


def finals(sweep_id: str) -> str:
    """The id of a sweep's finals: a sweep inside its folder, with the same layout."""
    # an id has 63 characters at most
    return f"{check_sweep_id(sweep_id)[:56]}-finals"


def sweep_record(sweep_id: str) -> str:
    """sweep.json."""
    return f"{check_sweep_id(sweep_id)}/{SWEEP_RECORD}"


def lease(sweep_id: str) -> str:
    """lease.json: present while a driver or an evaluation is at work."""
    return f"{check_sweep_id(sweep_id)}/{LEASE}"


def metrics(sweep_id: str) -> str:
    """metrics.jsonl: a line for each trial and epoch."""
    return f"{check_sweep_id(sweep_id)}/metrics.jsonl"


def use(sweep_id: str) -> str:
    """use.json: the resources that the sweep has held so far."""
    return f"{check_sweep_id(sweep_id)}/use.json"


def result(sweep_id: str) -> str:
    """result.json."""
    return f"{check_sweep_id(sweep_id)}/{RESULT}"


def trials(sweep_id: str) -> str:
    """The folder of all trials."""
    return f"{check_sweep_id(sweep_id)}/trials"


def trial_record(sweep_id: str, trial: str) -> str:
    """trial.json."""
    return f"{_trial(sweep_id, trial)}/trial.json"


def checkpoints(sweep_id: str, trial: str) -> str:
    """The folder of a trial's checkpoints."""
    return f"{_trial(sweep_id, trial)}/checkpoints"


def checkpoint(sweep_id: str, trial: str, epoch: int) -> str:
    """The folder of one checkpoint."""
    return f"{checkpoints(sweep_id, trial)}/epoch-{epoch:04d}"


def checkpoint_of(key: str) -> tuple[str, int] | None:
    """The trial and the epoch whose checkpoint `key` is part of; None where it is of none."""
    match = _CHECKPOINT.match(key)
    return (match[1], int(match[2])) if match else None


def event_file(sweep_id: str, trial: str) -> str:
    """The TensorBoard file of one trial, in a folder of its own, as TensorBoard requires."""
    return f"{check_sweep_id(sweep_id)}/tensorboard/{_check_trial(trial)}/events.out.tfevents.0"


def offline_run(sweep_id: str, trial: str, path: str) -> str:
    """A file of W&B's offline mode, at `path` in the trial's folder."""
    return f"{check_sweep_id(sweep_id)}/wandb/{_check_trial(trial)}/{path}"


def test_scores(sweep_id: str) -> str:
    """evaluation/test_scores.json."""
    return f"{check_sweep_id(sweep_id)}/evaluation/test_scores.json"


def answers(sweep_id: str) -> str:
    """evaluation/answers.json: beside the scores, and written before them."""
    return f"{check_sweep_id(sweep_id)}/evaluation/answers.json"


def report(sweep_id: str, name: str) -> str:
    """A file of the report, such as `table.md` or `figures/curves.png`."""
    return f"{check_sweep_id(sweep_id)}/report/{name}"


def _trial(sweep_id: str, trial: str) -> str:
    return f"{trials(sweep_id)}/{_check_trial(trial)}"


def _check_trial(trial: str) -> str:
    if not TRIAL_ID.fullmatch(trial):
        raise ConfigurationError(f"trial id {trial!r} is malformed", "trial ids look like t0007")
    return trial
