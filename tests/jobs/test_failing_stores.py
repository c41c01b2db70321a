"""Stores, disks and credentials that fail in mid-sweep: the real server stopped, slowed, full, or with other keys."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest
from faulty_proxy import Fault, FaultyProxy
from job_commands import BIN, ROOT, RecordProperty, check_books, num_epochs, submit, wait_for

from benchmarks.throttle import Throttle
from cifar_ray.cli.connection import connect_runs
from cifar_ray.cluster import local, s3_server
from cifar_ray.cluster.environment import joined
from cifar_ray.cluster.state import LocalCluster, StateFolder
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

pytestmark = [pytest.mark.cluster, pytest.mark.chaos, pytest.mark.timeout(900)]

OUTAGE_S = 60.0
FAULT_S = 6.0
SLOW_BYTES_PER_S = 1e5
SIZE = ("--trials", "2", "--data", "shapes:8000")
IMPATIENT = """
from cifar_ray.storage.patient_store import PatientStore
PatientStore.__init__.__defaults__ = (15.0,)
from cifar_ray.tuning.command import tune_command
tune_command("cnn")()
"""

HAND_OUT = """
import datetime, json, pathlib, sys
keys = json.loads(pathlib.Path(sys.argv[1]).read_text())
until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
print(json.dumps({"Version": 1, "AccessKeyId": keys["accessKey"], "SecretAccessKey": keys["secretKey"],
                  "Expiration": until.isoformat()}))
"""
DISK_BYTES = 16 << 20


@dataclass(frozen=True)
class Breakable:
    """A cluster of the test's own, whose S3 server can be stopped and started."""

    cluster: LocalCluster
    state: StateFolder
    runs: RunStore

    @classmethod
    def up(cls, home: Path) -> Breakable:
        cluster = local.up(local.LocalClusterOptions(home=home, num_cpus=2))
        return cls(cluster, StateFolder(home=home), connect_runs(None))

    def stop_store(self) -> None:
        assert s3_server.stop(self.cluster)

    def start_store(self) -> None:
        environ = joined(os.environ, self.cluster.environment())
        s3_server.start(s3_server.binary(), self.cluster, self.state, environ)
        wait_for(lambda: is_serving(self.runs))


def is_serving(runs: RunStore) -> bool:
    """Whether the store gives what it lists: what is on its volumes may be there later."""
    try:
        keys = runs.objects.keys()
        return all(runs.objects.read(key) is not None for key in keys)
    except Exception:  # noqa: BLE001 - whatever it says of itself
        return False


@contextmanager
def sweeping(*arguments: str, environ: dict[str, str], code: str = "") -> Iterator[subprocess.Popen[str]]:
    """A sweep of cnn with variables of its own, as `ray job submit` takes them; waits for its end."""
    program = ["-c", code] if code else [str(ROOT / "jobs" / "tune_cnn.py")]
    command = [BIN / "ray", "job", "submit", "--runtime-env-json", json.dumps({"env_vars": environ}), "--"]
    with subprocess.Popen(
        [*command, "python", *program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as job:
        yield job


def wait_for_epochs(job: subprocess.Popen[str], runs: RunStore, sweep_id: str, count: int) -> None:
    wait_for(lambda: num_epochs(runs, sweep_id) >= count or job.poll() is not None)
    if job.poll() is not None:
        pytest.fail(f"ended early: {job.communicate()[0]}")


def gaps_s(lines: Iterable[EpochMetrics]) -> list[float]:
    """The pauses between the ends of two epochs; those that ended together count as one."""
    ends = sorted(datetime.fromisoformat(str(line.ended_at)) for line in lines)
    return [(after - before).total_seconds() for before, after in itertools.pairwise(ends) if after > before]


def stall_s(runs: RunStore, sweep_id: str) -> float:
    """By how much the longest pause was longer than the median one."""
    gaps = gaps_s(runs.metrics(sweep_id))
    return max(gaps) - statistics.median(gaps)


def checkpoint_bytes(runs: RunStore, sweep_id: str) -> int:
    """Of the largest checkpoint that the sweep has left."""
    by_folder = Counter[str]()
    for key, size in runs.objects.sizes(sweep_id).items():
        if "/checkpoints/" in key:
            by_folder[key.rpartition("/")[0]] += size
    return max(by_folder.values())


@pytest.mark.fault("the store is down for 60 s")
def test_training_goes_on_while_the_store_is_down(home: Path, record_property: RecordProperty) -> None:
    broken = Breakable.up(home)
    command = ["job", "submit", "cnn", *SIZE, "--max-epochs", "150", "--sweep-id", "down"]
    with subprocess.Popen([BIN / "cifar-ray", *command], text=True) as job:
        wait_for_epochs(job, broken.runs, "down", 4)
        began = datetime.now(UTC)
        broken.stop_store()
        time.sleep(OUTAGE_S)
        ended = datetime.now(UTC)
        assert job.poll() is None
        broken.start_store()
        assert job.wait(timeout=500) == 0
    meanwhile = [line for line in broken.runs.metrics("down") if began < datetime.fromisoformat(line.ended_at) < ended]
    assert len(meanwhile) > 5, "epochs that ended while the store was down"
    record_property("seconds_lost", stall_s(broken.runs, "down"))
    record_property("objects", check_books(broken.runs, "down", num_trials=2))


@pytest.mark.fault("the store breaks calls")
def test_calls_that_break_are_made_again(home: Path, record_property: RecordProperty) -> None:
    broken = Breakable.up(home)
    server = urlsplit(broken.cluster.s3_endpoint_url)
    arguments = (*SIZE, "--max-epochs", "100", "--sweep-id", "breaking")
    with FaultyProxy(str(server.hostname), int(server.port or 0)) as proxy:
        with sweeping(*arguments, environ={"AWS_ENDPOINT_URL_S3": proxy.endpoint_url}) as job:
            wait_for_epochs(job, broken.runs, "breaking", 4)
            for fault in get_args(Fault):
                before = num_epochs(broken.runs, "breaking")
                proxy.break_with(fault)
                time.sleep(FAULT_S)
                proxy.break_with(None)
                wait_for_epochs(job, broken.runs, "breaking", before + 1)
            said, _ = job.communicate(timeout=500)
        assert job.returncode == 0, said
        assert "Traceback" not in said, said
        assert proxy.num_faults >= len(get_args(Fault))
        record_property("injected", proxy.num_faults)
    record_property("seconds_lost", stall_s(broken.runs, "breaking"))
    record_property("objects", check_books(broken.runs, "breaking", num_trials=2))


@pytest.mark.fault("the store is slow")
def test_no_epoch_waits_for_a_slow_store(home: Path, record_property: RecordProperty) -> None:
    broken = Breakable.up(home)
    server = urlsplit(broken.cluster.s3_endpoint_url)
    arguments = (*SIZE, "--max-epochs", "30", "--sweep-id", "slow")
    with Throttle(str(server.hostname), int(server.port or 0), SLOW_BYTES_PER_S) as slow:
        with sweeping(*arguments, environ={"AWS_ENDPOINT_URL_S3": slow.endpoint_url}) as job:
            said, _ = job.communicate(timeout=500)
        assert job.returncode == 0, said
    # of one trial: those of both end together, but are told one after the other
    epoch_s = statistics.median(gaps_s(line for line in broken.runs.metrics("slow") if line.trial_id == "t0000"))
    assert epoch_s < checkpoint_bytes(broken.runs, "slow") / SLOW_BYTES_PER_S, "an epoch that waited would take this"
    record_property("seconds_lost", stall_s(broken.runs, "slow"))
    record_property("objects", check_books(broken.runs, "slow", num_trials=2))


@pytest.mark.fault("the store stays away")
def test_the_sweep_ends_and_says_how_to_go_on(home: Path, record_property: RecordProperty) -> None:
    broken = Breakable.up(home)
    arguments = (*SIZE, "--max-epochs", "40", "--sweep-id", "away")
    with sweeping(*arguments, environ={}, code=IMPATIENT) as job:
        wait_for_epochs(job, broken.runs, "away", 4)
        broken.stop_store()
        said, _ = job.communicate(timeout=300)
    assert job.returncode != 0
    last = [line for line in said.splitlines() if line.startswith(("error: ", "hint: "))]
    assert "tried for 15 s" in "".join(last), said
    assert "--sweep-id away --resume" in "".join(last), said
    assert "Traceback" not in said, said
    broken.start_store()
    before = broken.runs.metrics("away")
    submit("cnn", *arguments, "--resume")
    assert broken.runs.metrics("away")[: len(before)] == before
    record_property("objects", check_books(broken.runs, "away", num_trials=2))


@pytest.mark.fault("credentials expire")
def test_keys_are_replaced_in_mid_sweep(home: Path, tmp_path: Path, record_property: RecordProperty) -> None:
    """By a program that hands out keys for a while; the server forgets the old ones."""
    broken = Breakable.up(home)
    program, handed_out = tmp_path / "hand_out.py", tmp_path / "keys.json"
    program.write_text(HAND_OUT)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program} {handed_out}\n")

    def replace_keys() -> None:
        pair = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
        handed_out.write_text(json.dumps(pair))
        config = json.loads(broken.state.secrets.s3_config.read_text())
        # the tests' own stay
        config["identities"][1:] = [config["identities"][0] | {"name": "sweep", "credentials": [pair]}]
        broken.state.secrets.s3_config.write_text(json.dumps(config))
        broken.stop_store()
        broken.start_store()

    replace_keys()
    arguments = (*SIZE, "--max-epochs", "60", "--sweep-id", "expiring")
    own = {"AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    with sweeping(*arguments, environ=own) as job:
        for _ in range(2):
            before = num_epochs(broken.runs, "expiring")
            wait_for_epochs(job, broken.runs, "expiring", before + 4)
            replace_keys()
        said, _ = job.communicate(timeout=500)
    assert job.returncode == 0, said
    record_property("injected", 2)
    record_property("seconds_lost", stall_s(broken.runs, "expiring"))
    record_property("objects", check_books(broken.runs, "expiring", num_trials=2))


@pytest.mark.fault("a disk is full")
def test_a_full_disk_ends_the_sweep_and_room_lets_it_go_on(
    home: Path, tmp_path: Path, record_property: RecordProperty
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk")
    try:
        local.up(local.LocalClusterOptions(home=home, num_cpus=2))
        connect_runs(None)
        runs = RunStore(FolderStore(disk / "results"))
        arguments = (*SIZE, "--max-epochs", "60", "--sweep-id", "full", "--storage", str(disk / "results"))
        with subprocess.Popen(
            [BIN / "cifar-ray", "job", "submit", "cnn", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as job:
            wait_for_epochs(job, runs, "full", 4)
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            said, _ = job.communicate(timeout=300)
        assert job.returncode == 1, said
        assert "No space left on device" in said
        assert "Traceback" not in said, said
        for trial in runs.trials("full"):
            assert trial.outcome != "failed", "of a disk that everybody needs"
        before = runs.metrics("full")
        ballast.unlink()
        submit("cnn", *arguments, "--resume")
        assert runs.metrics("full")[: len(before)] == before
        record_property("objects", check_books(runs, "full", num_trials=2))
    finally:
        local.down(home)
        subprocess.run(["umount", str(disk)], check=True)
