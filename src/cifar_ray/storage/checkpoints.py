"""One trial's checkpoints: written whole, verified when read, pruned to those that are still needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cifar_ray.errors import CheckpointError, ObjectNotFoundError, RecordError
from cifar_ray.json_record import Record, Share
from cifar_ray.storage import layout
from cifar_ray.storage.object_store import ObjectStore

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The checkpoint of one epoch of a trial, in memory."""

    epoch: int
    validation_accuracy: float
    config: Mapping[str, Any]
    weights: bytes
    """In safetensors format."""
    trainer_state: bytes
    """What resuming needs besides the weights, written by `torch.save`."""


@dataclass(frozen=True, kw_only=True)
class FileDigest(Record):
    """Size and hash of a checkpoint's file."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """Written last: a checkpoint that has one is whole."""

    format: int
    trial_id: str
    epoch: int
    validation_accuracy: Share
    config: Mapping[str, Any]
    files: Mapping[str, FileDigest]


class CheckpointStore:
    """The checkpoints of one trial of a sweep."""

    def __init__(self, store: ObjectStore, sweep_id: str, trial_id: str) -> None:
        self._store = store
        self._sweep_id = sweep_id
        self.trial_id = trial_id

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the files, then the manifest."""
        files = {layout.WEIGHTS: checkpoint.weights, layout.TRAINER_STATE: checkpoint.trainer_state}
        for name, content in files.items():
            self._store.write(self._key(checkpoint.epoch, name), content)
        manifest = Manifest(
            format=FORMAT,
            trial_id=self.trial_id,
            epoch=checkpoint.epoch,
            validation_accuracy=checkpoint.validation_accuracy,
            config=checkpoint.config,
            files={name: _digest(content) for name, content in files.items()},
        )
        self._store.write(self._key(checkpoint.epoch, layout.MANIFEST), manifest.to_json().encode())

    def load(self, epoch: int) -> Checkpoint:
        """The checkpoint of that epoch; CheckpointError where it is missing, cut off or altered."""
        where, manifest = self._where(epoch), self._manifest(epoch)
        content: dict[str, bytes] = {}
        for name in (layout.WEIGHTS, layout.TRAINER_STATE):
            try:
                content[name] = self._store.read(self._key(epoch, name))
            except ObjectNotFoundError as error:
                raise CheckpointError(f"{where}: {name} is missing") from error
            except RecordError as error:
                raise CheckpointError(f"{where}: {error.message}") from error
            if manifest.files.get(name) != _digest(content[name]):
                raise CheckpointError(f"{where}: {name} does not match its manifest")
        return Checkpoint(
            epoch=epoch,
            validation_accuracy=manifest.validation_accuracy,
            config=manifest.config,
            weights=content[layout.WEIGHTS],
            trainer_state=content[layout.TRAINER_STATE],
        )

    def load_newest(self, on_damaged: Callable[[str], None]) -> Checkpoint | None:
        """The newest complete checkpoint; `on_damaged` is told of each damaged one skipped."""
        return self._first_whole(sorted(self.epochs(), reverse=True), on_damaged)

    def load_best(self, on_damaged: Callable[[str], None]) -> Checkpoint | None:
        """The complete checkpoint with the best validation accuracy, the earliest of equals."""
        accuracies = self.accuracies(on_damaged)
        return self._first_whole(sorted(accuracies, key=lambda epoch: (-accuracies[epoch], epoch)), on_damaged)

    def accuracies(self, on_damaged: Callable[[str], None]) -> dict[int, float]:
        """Validation accuracies by epoch, from the manifests; `on_damaged` is told of damaged ones."""
        accuracies: dict[int, float] = {}
        for epoch in self.epochs():
            try:
                accuracies[epoch] = self._manifest(epoch).validation_accuracy
            except CheckpointError as error:
                on_damaged(error.message)
        return accuracies

    def epochs(self) -> list[int]:
        """The epochs whose checkpoints have a manifest, ascending."""
        return _epochs(self._store.keys(layout.checkpoints(self._sweep_id, self.trial_id)))

    def prune(self, keep: Iterable[int], known: Iterable[int]) -> None:
        """Remove the `known` epochs' checkpoints except those to `keep`, the manifest first."""
        for epoch in set(known) - set(keep):
            for name in (layout.MANIFEST, layout.TRAINER_STATE, layout.WEIGHTS):
                self._store.delete(self._key(epoch, name))

    def remove_partial(self) -> list[int]:
        """Delete the files of epochs without a manifest, left by a process that was killed as it wrote or pruned.

        Returns the epochs that are left, ascending.
        """
        keys = self._store.keys(layout.checkpoints(self._sweep_id, self.trial_id))
        whole = {key.rpartition("/")[0] for key in keys if key.endswith(f"/{layout.MANIFEST}")}
        for key in keys:
            if key.rpartition("/")[0] not in whole:
                self._store.delete(key)
        return _epochs(keys)

    def remove_damaged_best(self, accuracies: Mapping[int, float]) -> dict[int, float]:
        """The accuracies without the best epochs whose checkpoints are damaged, which are removed.

        Otherwise such a one would take the place of the best whole one, which would be removed instead.
        """
        left = dict(accuracies)
        while left:
            best = min(left, key=lambda epoch: (-left[epoch], epoch))
            try:
                self.load(best)
            except CheckpointError:
                self.prune((), (best,))
                del left[best]
            else:
                break
        return left

    def _first_whole(self, epochs: list[int], on_damaged: Callable[[str], None]) -> Checkpoint | None:
        for epoch in epochs:
            try:
                return self.load(epoch)
            except CheckpointError as error:
                on_damaged(error.message)
        return None

    def _manifest(self, epoch: int) -> Manifest:
        where = self._where(epoch)
        try:
            manifest = Manifest.from_json(self._store.read(self._key(epoch, layout.MANIFEST)))
        except ObjectNotFoundError as error:
            raise CheckpointError(f"{where}: no manifest, so it is not whole") from error
        except RecordError as error:
            raise CheckpointError(f"{where}: the manifest is damaged: {error.message}") from error
        if (manifest.format, manifest.trial_id, manifest.epoch) != (FORMAT, self.trial_id, epoch):
            raise CheckpointError(f"{where}: the manifest is of another checkpoint or format")
        return manifest

    def _key(self, epoch: int, name: str) -> str:
        return f"{layout.checkpoint(self._sweep_id, self.trial_id, epoch)}/{name}"

    def _where(self, epoch: int) -> str:
        return f"checkpoint {layout.checkpoint(self._sweep_id, self.trial_id, epoch)}"


def _epochs(keys: Iterable[str]) -> list[int]:
    found = [layout.checkpoint_of(key) for key in keys if key.endswith(f"/{layout.MANIFEST}")]
    return sorted(each[1] for each in found if each)


def _digest(content: bytes) -> FileDigest:
    return FileDigest(num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
