"""A winner's predictions on the test images: a few kilobytes beside its scores, checked when they are read."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from cifar_ray.errors import RecordError
from cifar_ray.json_record import Record


@dataclass(frozen=True, kw_only=True)
class TestAnswers(Record):
    """answers.json: one byte per image, in the order of the test set, in base64."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    sweep_id: str
    test_fingerprint: str
    """SHA-256 over pixels and labels of the test images."""
    labels: str
    """The true classes."""
    predicted: str

    @classmethod
    def pack(cls, sweep_id: str, test_fingerprint: str, labels: Sequence[int], predicted: Sequence[int]) -> TestAnswers:
        """Pack class indices, of 256 classes at most."""
        return cls(
            sweep_id=sweep_id,
            test_fingerprint=test_fingerprint,
            labels=base64.b64encode(bytes(labels)).decode(),
            predicted=base64.b64encode(bytes(predicted)).decode(),
        )

    def is_right(self) -> list[bool]:
        """Whether each image was classified correctly; RecordError where the record is damaged."""
        labels, predicted = self._unpack()
        return [label == guess for label, guess in zip(labels, predicted, strict=True)]

    def check(self, test_fingerprint: str, confusion_matrix: Sequence[Sequence[int]]) -> None:
        """Raise RecordError unless these are the answers behind the scores."""
        counted = [[0] * len(confusion_matrix) for _ in confusion_matrix]
        labels, predicted = self._unpack()
        for label, guess in zip(labels, predicted, strict=True):
            if max(label, guess) >= len(counted):
                raise self._damaged(f"class {max(label, guess)} of {len(counted)}")
            counted[label][guess] += 1
        if self.test_fingerprint != test_fingerprint or counted != [list(row) for row in confusion_matrix]:
            raise self._damaged("they are not those that its test scores count")

    def _unpack(self) -> tuple[bytes, bytes]:
        try:
            labels, predicted = (base64.b64decode(text, validate=True) for text in (self.labels, self.predicted))
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if len(labels) != len(predicted):
            raise self._damaged(f"{len(labels)} labels, {len(predicted)} answers")
        return labels, predicted

    def _damaged(self, reason: str) -> RecordError:
        return RecordError(
            f"the answers of sweep {self.sweep_id} are damaged: {reason}",
            "remove its evaluation/ and evaluate it again: its test scores are then measured again",
        )
