"""What a program prints where its terminal lacks a character."""

import io
import sys

import pytest

from cifar_ray.output import replace_unknown_characters


@pytest.mark.parametrize(("encoding", "seen"), [("latin-1", b"3 \xb1 1 ? 2\n"), ("utf-8", "3 ± 1 – 2\n".encode())])
def test_what_the_terminal_lacks_is_a_question_mark(
    monkeypatch: pytest.MonkeyPatch, encoding: str, seen: bytes
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    replace_unknown_characters()
    print("3 ± 1 – 2", flush=True)
    assert written.getvalue() == seen


def test_a_stream_of_another_kind_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    replace_unknown_characters()
    assert sys.stdout is stream
