"""`cifar-ray cluster`: check a release on Kubernetes and connect to it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import click

from cifar_ray.cli.interrupts import end_as_at_ctrl_c
from cifar_ray.cli.release_flags import ReleaseChoice, release_flags
from cifar_ray.cluster.credentials import write_private
from cifar_ray.cluster.environment import shell_lines
from cifar_ray.cluster.on_kubernetes.doctor import examine
from cifar_ray.cluster.on_kubernetes.findings import Finding, exit_code
from cifar_ray.cluster.on_kubernetes.head_access import reach_head
from cifar_ray.cluster.on_kubernetes.release import Release, find_release
from cifar_ray.cluster.on_kubernetes.status import release_status
from cifar_ray.errors import ClusterError, plain
from cifar_ray.settings import read_settings

LOOK_PERIOD_S = 5.0
_ANY_CLUSTER = {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
"""Variables by which a shell may still name another cluster."""


@click.group()
def cluster() -> None:
    """Check a release on Kubernetes and connect to it.

    The kubeconfig is the one that kubectl uses: KUBECONFIG, else ~/.kube/config.
    """


@cluster.command()
@release_flags
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def doctor(release: ReleaseChoice, as_json: bool) -> None:
    """Check that a cluster is ready for sweeps.

    Looks at the operator, whether the pods fit the nodes, Secrets, the dashboard and the store. Without --release it
    checks only the cluster and the store, which can be done before the chart is installed.

    \b
    Exit codes: 0 warnings at worst, 1 an error, 2 no usable kubeconfig.
    """
    findings = []
    for finding in examine(release.api(), release.name, read_settings()):
        findings.append(finding)
        if not as_json:
            click.echo(_line(finding))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(exit_code(findings))


@cluster.command()
@release_flags
@click.option(
    "--port", type=click.IntRange(1024, 65535), metavar="PORT", help="Port on loopback. [default: a free one]"
)
def connect(release: ReleaseChoice, port: int | None) -> None:
    """Connect to a release's dashboard and Jobs API.

    Prints shell exports for another terminal, with which `cifar-ray`, `ray job` and other programs reach them until
    Ctrl-C. The token is in a file that only you can read and that is removed at the end.
    """
    found = release.find()
    end_as_at_ctrl_c()  # the token's file is removed
    with reach_head(found, port or 0) as head, tempfile.TemporaryDirectory(dir=_private_folder()) as folder:
        token_path = Path(folder) / "ray-token"
        _write_token(token_path, head.token)
        variables = head.environment(token_path)
        click.echo("\n".join(shell_lines(variables, _ANY_CLUSTER)))
        click.echo(f"# {found.name} answers at {head.url}; Ctrl-C ends this", err=True)
        try:
            _follow(found, token_path, head.token)
        except KeyboardInterrupt:
            click.echo("# closed", err=True)


@cluster.command()
@release_flags
def status(release: ReleaseChoice) -> None:
    """Show a release's pools, pods and RayJobs.

    Of the pods it names those that do not run, and says why.
    """
    found = release_status(release.find())
    click.echo(f"{found.cluster}: {found.state}")
    for trouble in found.troubles:
        click.echo(f"  {plain(trouble)}")
    click.echo(f"\n{'POOL':24} {'MIN':>5} {'READY':>5} {'WANTED':>6} {'MAX':>5}")
    for pool in found.pools:
        click.echo(f"{pool.name:24} {pool.min_pods:5} {pool.ready:5} {pool.wanted:6} {pool.max_pods:5}")
    if found.waiting:
        click.echo("\nPODS THAT DO NOT RUN")
        for pod in found.waiting:
            click.echo(f"{pod.name}\n  {plain(pod.why)}")
    if found.jobs:
        click.echo(f"\n{'RAYJOB':32} {'STATE':24} JOB")
        for job in found.jobs:
            click.echo(f"{job.name:32} {job.state:24} {job.submission_id}")
            if job.message:
                click.echo(f"  {plain(job.message)}")


def _line(finding: Finding) -> str:
    todo = f"\n{'':9}do: {plain(finding.todo)}" if finding.todo else ""
    return f"{finding.severity:8} {finding.checked}: {plain(finding.found)}{todo}"


def _follow(release: Release, token_path: Path, token: str | None) -> None:
    """Say when the head goes and comes back, and keep the token's file up to date, until interrupted.

    The connections themselves find a new head pod on their own.
    """
    said = ""
    while True:
        try:
            current = find_release(release.api, release.name)
            now = f"head pod {current.head_pod()}"
            if (new := current.token()) != token:
                _write_token(token_path, new)
                token = new
        except ClusterError as error:
            now = f"lost: {error.message}; trying again"
        if now != said:
            said = now
            click.echo(f"# {now}", err=True)
        time.sleep(LOOK_PERIOD_S)


def _private_folder() -> Path:
    folder = read_settings().home / "kubernetes"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ClusterError(f"{folder} cannot be made: {error.strerror}", "set CIFAR_RAY_HOME") from error
    return folder


def _write_token(path: Path, token: str | None) -> None:
    if token is None:
        path.unlink(missing_ok=True)
    else:
        write_private(path, token)
