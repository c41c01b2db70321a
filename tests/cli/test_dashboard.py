"""The command, as a person runs it."""

import json
import re
import signal
import subprocess
import sys
import urllib.request

from click.testing import CliRunner
from interrupts import heed_interrupts

from cifar_ray.cli.main import main
from cifar_ray.records import SweepRecord
from cifar_ray.storage.runs import RunStore

COMMAND = [sys.executable, "-m", "cifar_ray.cli.main", "dashboard"]


def test_it_says_where_the_page_is_and_ends_with_ctrl_c(runs: RunStore, sweep_record: SweepRecord) -> None:
    runs.create_sweep(sweep_record)
    command = [*COMMAND, "--storage", runs.objects.uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as dashboard:
        assert dashboard.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", dashboard.stdout.readline())
        assert found
        with urllib.request.urlopen(f"{found[0]}api/store.json", timeout=20) as answer:
            shown = json.load(answer)
        assert [row["id"] for row in shown["sweeps"]] == ["cnn-1"]
        assert shown["options"] == f" --storage {runs.objects.uri}", "its commands are of the same store"
        dashboard.send_signal(signal.SIGINT)
        dashboard.communicate(timeout=20)
    assert dashboard.returncode == 0


def test_a_store_that_cannot_be_read_is_told_at_once() -> None:
    found = CliRunner().invoke(main, ["dashboard", "--storage", "ftp://x"])
    assert found.exit_code == 2
    assert "unknown scheme" in found.output
