"""What a job refuses before anything is written, and how it says so."""

import pytest
from job_commands import run

from cifar_ray.cli.connection import LOCAL_FOLDER
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.cluster.state import StateFolder
from cifar_ray.settings import read_settings

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_refused_job_ends_with_one_line_and_a_hint(cluster: LocalCluster) -> None:
    result = run("job", "submit", "evaluate", "never-was")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "error: job evaluate-" in result.output
    assert "unknown sweep 'never-was'" in result.output


def test_the_local_cluster_reads_the_data_of_the_shell_that_submits_and_no_other_bucket(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateFolder(home=read_settings().home / LOCAL_FOLDER)
    state.prepare()
    state.write(cluster)
    monkeypatch.setenv("CIFAR_RAY_DATA", "/no/such/images")
    refused = run("job", "submit", "cnn")
    assert "submitted cnn-" in refused.output
    assert "there is no folder /no/such/images where the job runs" in refused.output
    monkeypatch.setenv("CIFAR_RAY_DATA", "s3://mine/cifar10")
    for options in ([], ["--data", "s3://mine/x"], ["--data", "shapes:500", "--storage", "s3://mine/x"]):
        refused = run("job", "submit", "cnn", *options)
        assert refused.exit_code == 2
        assert "in bucket 'mine' at http://127.0.0.1" in refused.output
        assert "hint: jobs of the local cluster reach only its own S3 server: use a folder" in refused.output
        assert "submitted" not in refused.output
