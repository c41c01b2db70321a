"""A thousand trials on fifty nodes, of which one dies every few seconds."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

pytestmark = [
    pytest.mark.fault("1,000 trials, nodes die"),
    pytest.mark.slow,
    pytest.mark.chaos,
    # fifty nodes take both cores
    pytest.mark.alone,
    pytest.mark.timeout(1600),
]

NUM_TRIALS, NUM_NODES, PERIOD_S = 1000, 50, 5
SCRIPT = Path(__file__).parent / "losing_nodes" / "sweep.py"


def test_all_trials_are_accounted_for(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    environ = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    command = [sys.executable, str(SCRIPT), str(tmp_path), *map(str, (NUM_TRIALS, NUM_NODES, PERIOD_S))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=1500, check=False, env=environ)
    assert done.returncode == 0
    found = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found))
    assert found["nodes_lost"] >= 10
    record_property("injected", found["nodes_lost"])
    record_property("objects", len(FolderStore(tmp_path).keys()))
    assert found["peak_bytes"] < 1e9, "of the driver"
    runs = RunStore(FolderStore(tmp_path))
    trials, lines = runs.trials("losing"), [(line.trial_id, line.epoch) for line in runs.metrics("losing")]
    assert len(trials) == NUM_TRIALS
    # a lost node is no failure of its trials
    assert {trial.outcome for trial in trials} == {"completed", "stopped"}
    assert sorted(lines) == [(trial.trial_id, epoch) for trial in trials for epoch in range(1, trial.num_epochs + 1)]
