"""How commands end that have something to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from cifar_ray.cli.interrupts import end_as_at_ctrl_c
from cifar_ray.cli.main import main
from cifar_ray.cluster import local


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    kept = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_start_that_is_told_to_end_stops_what_it_has_started(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """As by `timeout`, or as its terminal is closed: the servers have sessions of their own, which live on."""
    cleared: list[bool] = []
    monkeypatch.setattr(local, "_start", lambda *arguments: signal.raise_signal(number))
    monkeypatch.setattr(local, "_clear", lambda state, *, keeps_ray_logs=False: cleared.append(keeps_ray_logs))
    assert CliRunner().invoke(main, ["local", "up"]).exit_code == 1
    assert cleared == [False, True]


def test_after_nohup_a_command_outlives_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_as_at_ctrl_c()
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
