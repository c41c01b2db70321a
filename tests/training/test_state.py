import collections
import io
import json
import pickle
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import CheckpointError
from cifar_ray.models import build_model
from cifar_ray.studies import TrialConfig
from cifar_ray.training.learner import _clone
from cifar_ray.training.optimization import build_optimizer, build_scheduler
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


def test_a_state_of_before_there_were_cohorts_averages_and_populations_is_one() -> None:
    state = unpack_trainer_state(saved({"optimizer": {}, "scheduler": None, "history": [{"epoch": 1}]}))
    assert (state.data_pass, state.live, state.num_before) == (0, None, 0)


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


def test_a_state_changes_nothing_of_the_process() -> None:
    """BUILD sets attributes of whatever stands on the stack, such as a class that the whole process uses."""
    asks, sets = b"ccollections\nCounter\n", b"N}(X\x06\x00\x00\x00updateX\x04\x00\x00\x00evilu\x86b"
    with zipfile.ZipFile(io.BytesIO(saved({"optimizer": {}, "scheduler": None, "history": []}))) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    (name,) = [each for each in members if each.endswith("/data.pkl")]
    # in front of the state: the class, the change of it, and away with both
    members[name] = members[name][:2] + asks + sets + b"0" + members[name][2:]
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for each, part in members.items():
            archive.writestr(each, part)
    update = collections.Counter.update
    try:
        assert unpack_trainer_state(changed.getvalue()).history == []
        assert collections.Counter.update is update
    finally:
        collections.Counter.update = update  # type: ignore[method-assign]


def test_an_archive_that_grows_is_refused_before_it_is_unpacked() -> None:
    stored = zipfile.ZipFile(io.BytesIO(saved({"optimizer": {}, "scheduler": None, "history": []})))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(CheckpointError, match="compressed"):
        unpack_trainer_state(bomb.getvalue())


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
        {"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}},
        {"a": {"dtype": "F8_E8M0", "shape": [16], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [0, (1 << 64) - 1], "data_offsets": [0, 0]}},
        {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "ab"},
    ],
)
def test_weights_that_claim_what_they_have_not(header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(CheckpointError):
        unpack_weights(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(CheckpointError):
        unpack_weights(struct.pack("<Q", 1 << 60) + text)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content: bytes) -> None:
    for unpack in (unpack_weights, unpack_trainer_state):
        with pytest.raises(CheckpointError):
            unpack(content)


@given(st.data())
def test_a_state_that_was_changed_anywhere_is_a_state_or_refused(data: st.DataObject) -> None:
    content = bytearray(pack_trainer_state(STATE))
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CheckpointError):
        assert isinstance(unpack_trainer_state(bytes(content)), TrainerState)


@pytest.mark.parametrize("content", [b"", b"rubbish", saved({"other": 1}), saved([1, 2])])
def test_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError):
        unpack_trainer_state(content)


def test_weights_that_are_cut_off() -> None:
    content = pack_weights({"a": torch.ones(100)})
    for cut in (0, 4, 30, len(content) - 1):
        with pytest.raises(CheckpointError):
            unpack_weights(content[:cut])


def with_pickle(content: bytes) -> bytes:
    """A state's archive whose pickle is another."""
    stored = zipfile.ZipFile(io.BytesIO(saved(torch.zeros(1_000))))
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name in stored.namelist():
            archive.writestr(name, content if name.endswith("data.pkl") else stored.read(name))
    return changed.getvalue()


def in_optimizer(value: bytes) -> bytes:
    """Pickle of a state that has a value in place of its optimiser's."""
    return b"}(Voptimizer\n" + value + b"Vscheduler\nNVhistory\n]u."


STORED = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI1000\ntQ"


def tensor(size: bytes, stride: bytes) -> bytes:
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORED + b"I0\n" + size + stride + b"I00\nNtR"


def test_a_tensor_as_it_should_be() -> None:
    state: Any = unpack_trainer_state(with_pickle(in_optimizer(tensor(b"(I1000\nt", b"(I1\nt"))))
    assert torch.equal(state.optimizer, torch.zeros(1_000))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"cbuiltins\nbytearray\n(J\x00\x00\x00\x40tR", "asks for builtins.bytearray"),
        (b"c__builtin__\nbytearray\n(J\x00\x00\x00\x40tR", "asks for __builtin__.bytearray"),
        (b"ctorch\nTensor\n(J\x00\x00\x00\x40tR", "asks for torch.Tensor"),
        (b"ctorch\nUntypedStorage\n(J\x00\x00\x00\x40tR", "asks for torch.UntypedStorage"),
        (b"ctorch\nFloatStorage\n(J\x00\x00\x00\x40tR", "not callable"),
        (b"c_codecs\nencode\n(Vx\nVutf-32\ntR", "asks for _codecs.encode"),
        (b"ccollections\nOrderedDict.fromkeys\n", "asks for collections.OrderedDict.fromkeys"),
        (tensor(b"(I1073741824\nt", b"(I0\nt"), "larger than its numbers"),
        (tensor(b"(I1000\nt", b"(I1000\nt"), "out of bounds"),
        (b"(" + tensor(b"(I1000\nt", b"(I1\nt") * 10 + b"t", "unpacks to more"),
        (tensor(b"(I1000\nt", b"(I1\nt") + b"q\x00h\x00\x86", "means it twice"),
        (b"]" + b"q\x00h\x00\x86" * 40, "means it twice"),
        (b"}N" + b"\x85" * 1_000_000 + b"Ns", "1,000,000 tuples"),
        (b"Nr\x00\x00\x00\x40", "notes a value"),
    ],
)
def test_what_is_more_than_its_file_is_refused(value: bytes, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        unpack_trainer_state(with_pickle(in_optimizer(value)))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "muon"])
@pytest.mark.parametrize("schedule", ["none", "steps", "cosine", "one_cycle", "triangular"])
def test_every_optimisers_and_schedules_state_comes_back(optimizer: Any, schedule: Any) -> None:
    settings: dict[str, Any] = {"learning_rate": 0.01, "weight_decay": 1e-4, "dropout": 0.0, "batch_norm": True}
    settings |= {"bias_rate": 2.0, "decays_all": False, "optimizer": optimizer, "schedule": schedule}
    config = TrialConfig(model="classic_cnn", max_epochs=2, **settings)
    network = build_model(config)
    trained = build_optimizer(config, network)
    scheduler = build_scheduler(config, trained, 3)
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    trained.step()
    state = TrainerState(
        optimizer=_clone(trained.state_dict()),
        scheduler=_clone(dict(scheduler.state_dict())) if scheduler else None,
        history=[{"epoch": 1}],
        live=_clone(dict(network.state_dict())),
    )
    content = pack_trainer_state(state)
    read, expected = vars(unpack_trainer_state(content)), torch.load(io.BytesIO(content), weights_only=True)
    assert_same(read, expected)


def test_tensors_of_every_type() -> None:
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]
    kinds += [torch.uint8, torch.bool]
    live = {str(kind): torch.tensor([[1, 0], [1, 1], [0, 1]]).to(kind).t() for kind in kinds}
    live |= {"none": torch.empty(0, 3), "one": torch.tensor(2.5)}
    state = unpack_trainer_state(pack_trainer_state(TrainerState(optimizer={}, scheduler=None, history=[], live=live)))
    assert_same(state.live, live)


def assert_same(value: Any, expected: Any) -> None:
    assert type(value) is type(expected)
    if isinstance(value, torch.Tensor):
        assert value.dtype == expected.dtype
        assert value.stride() == expected.stride()
        assert torch.equal(value, expected)
    elif isinstance(value, dict):
        assert list(value) == list(expected)
        for key in value:
            assert_same(value[key], expected[key])
    elif isinstance(value, list | tuple):
        for one, other in zip(value, expected, strict=True):
            assert_same(one, other)
    else:
        assert value == expected
