"""Families of processes, found and stopped."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from cifar_ray.cluster.environment import MARK
from cifar_ray.cluster.processes import family, identify, is_alive, stop

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


def test_what_ignores_sigterm_is_killed_with_its_descendants(stubborn):
    root = identify(stubborn.pid)
    members = family([root], "none")
    assert len(members) == 2
    assert stop([root], "none", deadline_s=0.3)
    assert not any(is_alive(process) for process in members)
    assert not stop([root], "none", deadline_s=0.3)


def test_orphans_are_found_by_their_mark(stubborn):
    root = identify(stubborn.pid)
    stubborn.kill()
    stubborn.wait(10)
    assert family([root], "none") == set()
    assert len(family([root], "test:stubborn")) == 1
    started = time.monotonic()
    assert stop([root], "test:stubborn", deadline_s=5)
    assert time.monotonic() - started < 4


def test_a_later_process_of_the_same_number_is_another():
    me = identify(os.getpid())
    assert is_alive(me)
    assert not is_alive(replace(me, start_ticks=me.start_ticks - 1))
    assert not is_alive(replace(me, boot="an earlier one"))
    assert family([replace(me, boot="an earlier one")], "none") == set()
