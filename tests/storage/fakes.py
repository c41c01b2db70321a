"""Stands in for stores, executors and models where a test must say what happens when."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from cifar_ray.errors import ObjectNotFoundError
from cifar_ray.storage.checkpoints import Checkpoint

DEADLINE_S = 20.0


class MemoryStore:
    """Objects in a dict; each write and delete first calls `before`, which may wait, fail or look."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.before: Callable[[str], object] = lambda call: None

    def read(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectNotFoundError(key)
        return self.objects[key]

    def write(self, key: str, content: bytes) -> None:
        self._call("write", key)
        self.objects[key] = content

    def delete(self, key: str) -> None:
        self._call("delete", key)
        self.objects.pop(key, None)

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.objects if key.startswith(f"{prefix}/"))

    def _call(self, name: str, key: str) -> None:
        _, _, trial, _, epoch, file = key.split("/")
        call = f"{name} {trial} {int(epoch.removeprefix('epoch-'))} {file}"
        self.before(call)
        self.calls.append(call)

    def epochs(self) -> set[int]:
        """Those of which there is any file."""
        return {int(key.split("/epoch-")[1].split("/")[0]) for key in self.objects}


class Gate:
    """A store's `before` that lets no call pass until it is opened."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self.is_open = threading.Event()

    def __call__(self, call: str) -> None:
        self.is_reached.set()
        assert self.is_open.wait(DEADLINE_S)


class StepExecutor(Executor):
    """Runs what was submitted when it is told to, in the thread that tells it."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._queue.append((future, lambda: function(*args, **kwargs)))
        return future

    def run(self) -> None:
        while self._queue:
            future, function = self._queue.popleft()
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - as the executors of the standard library do
                future.set_exception(error)


def checkpoint(epoch: int, accuracy: float) -> Checkpoint:
    return Checkpoint(
        epoch=epoch,
        validation_accuracy=accuracy,
        config={"model": "classic_cnn"},
        weights=b"weights %d" % epoch,
        trainer_state=b"state %d" % epoch,
    )


class Snapshot:
    """As long as it lives, a model's worth of memory is taken."""

    def __init__(self, epoch: int, accuracy: float) -> None:
        self._epoch = epoch
        self._accuracy = accuracy

    def __call__(self) -> Checkpoint:
        return checkpoint(self._epoch, self._accuracy)
