"""Families of processes, found and stopped."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from cifar_ray.cluster import processes
from cifar_ray.cluster.environment import MARK
from cifar_ray.cluster.processes import Lineage, family, identify, is_alive, stop

# ignores SIGTERM; its child leaves for a session of its own
STUBBORN = """
import signal, subprocess, sys, time
subprocess.Popen(["sleep", "60"], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def stubborn():
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        stdout=subprocess.PIPE,
        env=dict(os.environ, **{MARK: "test:stubborn"}),
        start_new_session=True,
    ) as child:
        assert child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


def _lineage(root, tmp_path, mark="none"):
    return Lineage(root=root, mark=mark, folder=tmp_path)


def test_what_ignores_sigterm_is_killed_with_its_descendants(stubborn, tmp_path):
    lineage = _lineage(identify(stubborn.pid), tmp_path)
    members = family(lineage)
    assert len(members) == 2
    assert stop(lineage, deadline_s=0.3)
    assert not any(is_alive(process) for process in members)
    assert not stop(lineage, deadline_s=0.3)


def test_orphans_are_found_by_their_mark(stubborn, tmp_path):
    root = identify(stubborn.pid)
    stubborn.kill()
    stubborn.wait(10)
    assert family(_lineage(root, tmp_path)) == set()
    lineage = _lineage(root, tmp_path, "test:stubborn")
    assert len(family(lineage)) == 1
    started = time.monotonic()
    assert stop(lineage, deadline_s=60)
    assert time.monotonic() - started < 50


@pytest.mark.parametrize("is_ours", [True, False])
def test_unmarked_orphans_are_found_by_their_open_files(tmp_path, is_ours):
    folder = tmp_path / ("ours" if is_ours else "another's")
    folder.mkdir()
    code = f"""
import subprocess
child = subprocess.Popen(["sleep", "60"], stdout=open({str(folder / "log")!r}, "w"), stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as leader:
        orphan = identify(int(leader.stdout.readline()))
        root = identify(leader.pid)
        leader.kill()
    lineage = _lineage(root, tmp_path / "ours")
    assert family(lineage) == ({orphan} if is_ours else set())
    assert stop(replace(lineage, folder=folder), deadline_s=5)
    assert not is_alive(orphan)


def test_a_later_process_of_the_same_number_is_another(tmp_path):
    me = identify(os.getpid())
    assert is_alive(me)
    assert not is_alive(replace(me, start_ticks=me.start_ticks - 1))
    earlier = replace(me, boot="an earlier one")
    assert not is_alive(earlier)
    assert family(_lineage(earlier, tmp_path)) == set()


def test_a_name_that_is_no_text_is_read(tmp_path):
    """Linux cuts names at 15 bytes, which may be within a character."""
    program = 'import time; open("/proc/self/comm", "wb").write(b"caf\\xc3"); print(flush=True); time.sleep(60)'
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as named:
        named.stdout.readline()
        try:
            assert processes._entry(named.pid).process.pid == named.pid
        finally:
            named.kill()
