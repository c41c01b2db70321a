import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import ConfigurationError
from cifar_ray.storage import layout


def test_keys_as_documented() -> None:
    assert layout.sweep_record("cnn-1") == "cnn-1/sweep.json"
    assert layout.metrics("cnn-1") == "cnn-1/metrics.jsonl"
    assert layout.result("cnn-1") == "cnn-1/result.json"
    assert layout.trial_record("cnn-1", "t0007") == "cnn-1/trials/t0007/trial.json"
    assert layout.checkpoint("cnn-1", "t0007", 12) == "cnn-1/trials/t0007/checkpoints/epoch-0012"
    assert layout.test_scores("cnn-1") == "cnn-1/evaluation/test_scores.json"
    assert layout.report("cnn-1", "table.md") == "cnn-1/report/table.md"
    assert layout.trial_id(7) == "t0007"
    assert layout.finals("cnn-1") == "cnn-1-finals"
    assert layout.check_sweep_id(layout.finals("a" * 63)), "the longest id has finals, too"


@given(st.text(max_size=80))
def test_a_sweep_id_never_leaves_the_store(sweep_id: str) -> None:
    try:
        key = layout.sweep_record(sweep_id)
    except ConfigurationError:
        return
    assert key == f"{sweep_id}/sweep.json"
    assert not {"/", "\\", ".", "\0", "\n"} & set(sweep_id)


@pytest.mark.parametrize("trial", ["../x", "t1", "t00001234", "", "t0001/../.."])
def test_a_trial_id_never_leaves_its_sweep(trial: str) -> None:
    with pytest.raises(ConfigurationError, match="trial id"):
        layout.trial_record("cnn-1", trial)
