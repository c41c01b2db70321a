"""Servers that do not come up."""

import os
import sys
import time

import pytest

from cifar_ray.cluster import server
from cifar_ray.cluster.processes import Lineage, stop
from cifar_ray.errors import ClusterError, UnreachableError


def _launch(tmp_path, code):
    return server.launch("it", [sys.executable, "-c", code], os.environ, tmp_path / "it.log", tmp_path)


def _stop(started):
    return stop(Lineage(root=started.process, mark="none", folder=started.log_path.parent), 5)


def test_one_that_ends_early_is_told_with_its_last_words(tmp_path):
    started = _launch(tmp_path, "import sys, time; time.sleep(0.3); sys.exit('no such luck')")
    with pytest.raises(ClusterError, match=r"ended as it started(.|\n)*no such luck") as caught:
        server.wait_until(started, lambda: False, started)
    assert str(tmp_path / "it.log") in caught.value.hint
    server.reap()


def test_the_end_of_another_ends_the_wait(tmp_path):
    waiting = _launch(tmp_path, "import time; time.sleep(60)")
    ended = server.launch("ended", ["/bin/false"], {}, tmp_path / "ended.log", tmp_path)
    begun = time.monotonic()
    with pytest.raises(ClusterError, match=r"^ended ended as it started"):
        server.wait_until(waiting, lambda: False, ended)
    assert time.monotonic() - begun < 10
    assert _stop(waiting)
    server.reap()


def _silent():
    raise UnreachableError("nothing answers")


@pytest.mark.parametrize("is_ready", [lambda: False, _silent])
def test_one_that_never_answers_meets_the_deadline(tmp_path, is_ready):
    started = _launch(tmp_path, "import time; time.sleep(60)")
    begun = time.monotonic()
    with pytest.raises(ClusterError, match="did not answer within"):
        server.wait_until(started, is_ready, started, 0.3)
    assert time.monotonic() - begun < 30
    assert _stop(started)
    server.reap()


def test_a_missing_program_is_an_error_of_ours(tmp_path):
    with pytest.raises(ClusterError, match="cannot be started"):
        server.launch("it", ["/no/such/program"], {}, tmp_path / "it.log", tmp_path)
