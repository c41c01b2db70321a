"""Which sweeps are told as one."""

from dataclasses import replace
from typing import Any

import pytest

from cifar_ray.records import SweepRecord
from cifar_ray.reporting.seed_groups import seed_groups


def sweeps(sweep: SweepRecord, seeds: list[int], **changes: Any) -> list[SweepRecord]:
    dataset = {name: changes.pop(name) for name in ("fingerprint", "validation_share") if name in changes}
    made = replace(sweep, dataset=replace(sweep.dataset, **dataset), **changes)
    return [replace(made, seed=seed, sweep_id=f"s-{len(str(changes))}-{seed}") for seed in seeds]


@pytest.mark.parametrize(
    ("seeds", "text"), [([0, 1, 2], "0-2"), ([2, 0], "0, 2"), ([0, 1], "0, 1"), ([0, 1, 1, 3], "0, 1, 3")]
)
def test_those_of_two_seeds_or_more(sweep_record: SweepRecord, seeds: list[int], text: str) -> None:
    (group,) = seed_groups(sweeps(sweep_record, seeds))
    assert (group.name, group.title) == ("cnn", f"cnn, 2 × 4, grace 1, seeds {text}")
    assert (group.seeds, len(group.sweep_ids)) == (tuple(sorted(set(seeds))), len(seeds))


def test_one_seed_is_no_group_however_often(sweep_record: SweepRecord) -> None:
    assert seed_groups(sweeps(sweep_record, [1, 1, 1])) == []


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"study": "resnet"}, ["cnn", "resnet"]),
        ({"definition": "…"}, ["cnn (built in)", "cnn (study file b4935894)"]),
        ({"num_trials": 3}, ["cnn (2 × 4)", "cnn (3 × 4)"]),
        ({"grace_period": 2}, ["cnn (grace 1)", "cnn (grace 2)"]),
        ({"reduction_factor": 2}, ["cnn (reduction factor 4)", "cnn (reduction factor 2)"]),
        ({"searcher": "tpe"}, ["cnn (random)", "cnn (tpe)"]),
        ({"best_of": "cnn-9", "changes": ("mixup=0.2",)}, ["cnn (random)", "cnn (the best of cnn-9 with mixup=0.2)"]),
        ({"num_finalists": 2, "num_seeds": 3, "final_epochs": 9}, ["cnn (no finals)", "cnn (finals 2 × 3 × 9)"]),
        ({"is_cohort": True}, ["cnn (individually)", "cnn (in a cohort)"]),
        ({"validation_share": 0.06}, ["cnn (0.1 held out)", "cnn (0.06 held out)"]),
        ({"fingerprint": "cd" * 32}, ["cnn (data abababababab)", "cnn (data cdcdcdcdcdcd)"]),
    ],
)
def test_what_else_differs_tells_groups_apart(
    sweep_record: SweepRecord, changes: dict[str, Any], names: list[str]
) -> None:
    found = seed_groups(sweeps(sweep_record, [0, 1]) + sweeps(sweep_record, [0, 1], **changes))
    assert [group.name for group in found] == names
    assert len({group.title for group in found}) == 2
    assert seed_groups(sweeps(sweep_record, [0]) + sweeps(sweep_record, [1], **changes)) == []


def test_another_commit_or_machine_is_no_other_kind(sweep_record: SweepRecord) -> None:
    others = sweeps(sweep_record, [1], commit="def", hardware={"cpus": "64"})
    assert len(seed_groups(sweeps(sweep_record, [0]) + others)) == 1


def test_a_group_of_another_searcher_says_so_alone_too(sweep_record: SweepRecord) -> None:
    (group,) = seed_groups(sweeps(sweep_record, [0, 1], searcher="tpe"))
    assert (group.name, group.title) == ("cnn", "cnn, 2 × 4, grace 1, tpe, seeds 0, 1")
