import base64
from dataclasses import replace

import pytest

from cifar_ray.errors import RecordError
from cifar_ray.storage.answers import TestAnswers

LABELS, PREDICTED = [0, 1, 1, 2], [0, 1, 2, 2]
CONFUSION = ((1, 0, 0), (0, 1, 1), (0, 0, 1))
ANSWERS = TestAnswers.pack("cnn-1", "cd" * 32, LABELS, PREDICTED)


def test_there_and_back() -> None:
    read = TestAnswers.from_json(ANSWERS.to_json())
    read.check("cd" * 32, CONFUSION)
    assert read.is_right() == [True, True, False, True]


def test_ten_thousand_answers_take_27_kilobytes() -> None:
    assert len(TestAnswers.pack("cnn-1", "cd" * 32, [3] * 10_000, [4] * 10_000).to_json()) < 27_500


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"predicted": base64.b64encode(bytes([0, 1, 2])).decode()}, "4 labels, 3 answers"),
        ({"predicted": base64.b64encode(bytes([1, 1, 2, 2])).decode()}, "not those that its test scores count"),
        ({"predicted": base64.b64encode(bytes([0, 1, 2, 3])).decode()}, "class 3 of 3"),
        ({"labels": "no base64"}, "damaged"),
        ({"labels": "é"}, "damaged"),
        ({"test_fingerprint": "ab" * 32}, "not those that its test scores count"),
    ],
)
def test_damage_is_found_at_the_door(damage: dict[str, str], says: str) -> None:
    with pytest.raises(RecordError, match=says):
        replace(ANSWERS, **damage).check("cd" * 32, CONFUSION)
