import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from cifar_ray.errors import CheckpointError
from cifar_ray.training.state import (
    TrainerState,
    pack_trainer_state,
    pack_weights,
    unpack_trainer_state,
    unpack_weights,
)

STATE = TrainerState(optimizer={"state": {0: {"step": torch.ones(2)}}}, scheduler=None, history=[{"epoch": 1}])


def test_there_and_back() -> None:
    weights = {"a": torch.randn(3, 4, 5, 5).to(memory_format=torch.channels_last)}
    assert torch.equal(unpack_weights(pack_weights(weights))["a"], weights["a"])
    state = unpack_trainer_state(pack_trainer_state(STATE))
    assert state.history == STATE.history
    assert torch.equal(state.optimizer["state"][0]["step"], torch.ones(2))


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_hostile_checkpoint_runs_no_code(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    for content in (saved({"optimizer": Hostile(trap)}), pickle.dumps(Hostile(trap))):
        with pytest.raises(CheckpointError):
            unpack_trainer_state(content)
        with pytest.raises(CheckpointError):
            unpack_weights(content)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"rubbish", saved({"other": 1}), saved([1, 2])])
def test_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError):
        unpack_trainer_state(content)


def test_weights_that_are_cut_off() -> None:
    content = pack_weights({"a": torch.ones(100)})
    for cut in (0, 4, 30, len(content) - 1):
        with pytest.raises(CheckpointError):
            unpack_weights(content[:cut])
