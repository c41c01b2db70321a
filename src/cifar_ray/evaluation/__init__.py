"""Scores the winners of sweeps on the test set."""

from __future__ import annotations

from cifar_ray.records import TestScores


def score_sweep(storage: str, sweep_id: str) -> TestScores:
    """As `scoring.score_sweep`, which is loaded where it computes: the job that asks need not wait for torch."""
    from cifar_ray.evaluation import scoring  # noqa: PLC0415

    return scoring.score_sweep(storage, sweep_id)
