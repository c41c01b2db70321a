"""`cifar-ray local`: the one-machine cluster."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

from cifar_ray.capacity import NodeKind
from cifar_ray.cli.connection import DEMO_FOLDER, LOCAL_FOLDER
from cifar_ray.cli.interrupts import end_as_at_ctrl_c
from cifar_ray.cluster import environment, s3_server
from cifar_ray.cluster import local as cluster
from cifar_ray.cluster.autoscaling import LocalPool
from cifar_ray.cluster.credentials import read_token
from cifar_ray.cluster.dashboard_api import RunningJob, living_nodes, running_jobs
from cifar_ray.cluster.pool_file import read_pool_file
from cifar_ray.cluster.state import LocalCluster, find
from cifar_ray.errors import ClusterError, UnreachableError
from cifar_ray.settings import read_settings
from cifar_ray.submission.job_status import resume_command


@click.group()
def local() -> None:
    """Start, check and stop the one-machine cluster."""


@local.command()
@click.option("--cpus", type=click.IntRange(1), metavar="N", help="CPU cores it may use. [default: all]")
@click.option("--gpus", type=click.IntRange(0), metavar="N", help="Accelerators it may use. [default: all]")
@click.option(
    "--dashboard-port",
    type=click.IntRange(1024, 65535),
    metavar="PORT",
    help="Port of the dashboard. [default: a free one]",
)
@click.option(
    "--s3-port", type=click.IntRange(1024, 65535), metavar="PORT", help="Port of the S3 server. [default: a free one]"
)
@click.option(
    "--autoscaling",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Let Ray's autoscaler start and stop worker nodes on this machine: --workers of one kind, or the pools that "
    "FILE describes (cluster/local.autoscaling.yaml is an example).",
)
@click.option("--workers", metavar="MIN:MAX", help="How many, with --autoscaling and no FILE. [default: 0:4]")
@click.option(
    "--accelerators-per-worker",
    type=click.IntRange(0),
    metavar="N",
    help="How many each has, with --autoscaling and no FILE. They are logical: Ray counts them, and no device need be "
    "there. [default: 1]",
)
def up(
    cpus: int | None,
    gpus: int | None,
    dashboard_port: int | None,
    s3_port: int | None,
    autoscaling: str | None,
    workers: str | None,
    accelerators_per_worker: int | None,
) -> None:
    """Start a Ray head and an S3 server.

    Both answer on loopback only, with a token and keys of their own. With --autoscaling the head itself runs no
    trials: nodes start when jobs ask for them and stop after 15 s without work, as on Kubernetes.
    """
    pools: tuple[LocalPool, ...] = ()
    if autoscaling != "" and not (workers is None and accelerators_per_worker is None):
        raise click.UsageError("--workers and --accelerators-per-worker apply only to --autoscaling without FILE")
    if autoscaling is not None and gpus is not None:
        raise click.UsageError("with --autoscaling the head has no accelerators: use --accelerators-per-worker or FILE")
    if autoscaling and cpus is not None:
        raise click.UsageError("--cpus has no effect where FILE says what each worker has")
    if s3_port is not None and s3_port == dashboard_port:
        raise click.UsageError("--dashboard-port and --s3-port are the same: take two ports")
    if autoscaling:
        pools = read_pool_file(Path(autoscaling))
    elif autoscaling is not None:
        pools = (_workers(workers or "0:4", cpus, 1 if accelerators_per_worker is None else accelerators_per_worker),)
    settings = read_settings()
    options = cluster.LocalClusterOptions(
        home=settings.home / LOCAL_FOLDER,
        workers=pools,
        num_cpus=cpus,
        num_gpus=gpus,
        dashboard_port=dashboard_port,
        s3_port=s3_port,
    )
    end_as_at_ctrl_c()
    _present(cluster.up(options, click.echo), settings.ray_address)


@local.command()
def down() -> None:
    """Stop the cluster and the jobs that run on it.

    Results stay. What a killed demo left running is stopped, too.
    """
    home = read_settings().home / LOCAL_FOLDER
    running = _running_jobs(home)
    was_running = cluster.down(home, click.echo)
    with suppress(ClusterError):  # a demo is at work, which stops its own
        was_running |= cluster.stop_abandoned(read_settings().home / DEMO_FOLDER, click.echo)
    if not was_running:
        click.echo("no local cluster is running")
    for each in running:
        resume = resume_command(each.metadata)
        go_on = f": continue with `cifar-ray local up; {resume}`" if resume else ""
        click.echo(f"job {each.submission_id} was running{go_on}")


@local.command()
def env() -> None:
    """Print shell exports for other programs.

    With these variables they reach the cluster. The variables name files that hold the token and the keys, never the
    secrets themselves.
    """
    found = find(read_settings().home / LOCAL_FOLDER)
    if found is None:
        raise ClusterError("no local cluster is running", "start one with `cifar-ray local up`")
    variables = found.environment()
    shadowing = set(os.environ) - set(environment.joined(os.environ, variables))
    click.echo("\n".join(environment.shell_lines(variables, shadowing)))


@local.command()
def status() -> None:
    """Check that the cluster's parts answer.

    The exit code is 4 if it does not run or one of its parts does not answer.
    """
    found = find(read_settings().home / LOCAL_FOLDER, is_whole=False)
    if found is None:
        raise UnreachableError("no local cluster is running", "start one with `cifar-ray local up`")
    problems, nodes = examine(found)
    for (part, problem), url in zip(problems.items(), (found.dashboard_url, found.s3_endpoint_url), strict=True):
        click.echo(f"{part:9} {url}  {problem or 'answers'}")
    click.echo(f"store     {found.storage}")
    if nodes is not None:
        cpus, gpus = (sum(node.resources.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
        click.echo(f"capacity  {cpus:g} CPU, {gpus:g} GPU")
    if any(problems.values()):
        raise UnreachableError(
            "a part of the local cluster does not answer", "restart it: `cifar-ray local down; cifar-ray local up`"
        )


def examine(found: LocalCluster) -> tuple[dict[str, str | None], list[NodeKind] | None]:
    """Each part's problem, None where it answers to its own token or keys; and the living nodes, if Ray lists them."""
    problems: dict[str, str | None] = {"Jobs API": None, "S3": None}
    nodes = None
    try:
        token = read_token(Path(found.token_path))
        running_jobs(found.dashboard_url, token)
        nodes = living_nodes(found.dashboard_url, token)
    except ClusterError as error:
        problems["Jobs API"] = error.message
    try:
        s3_server.check(found.s3_endpoint_url, Path(found.credentials_path))
    except ClusterError as error:
        problems["S3"] = error.message
    return problems, nodes


def _present(started: LocalCluster, ray_address: str | None) -> None:
    click.echo(f"dashboard  {started.dashboard_url}  (token: {started.token_path})")
    click.echo(f"store      {started.storage} at {started.s3_endpoint_url}")
    if ray_address not in (None, started.dashboard_url):
        click.echo(f"RAY_API_SERVER_ADDRESS names another cluster, {ray_address}: unset it to use this one")
    click.echo("next       cifar-ray job submit cnn --trials 8 --max-epochs 8")
    click.echo('           for `ray job submit`: eval "$(cifar-ray local env)"')


def _running_jobs(home: Path) -> list[RunningJob]:
    """The cluster's running jobs; none where it does not answer, since it is stopped anyway."""
    found = find(home)
    if found is None:
        return []
    try:
        return running_jobs(found.dashboard_url, read_token(Path(found.token_path)))
    except ClusterError:
        return []


def _workers(text: str, cpus: int | None, accelerators: int) -> LocalPool:
    """Between them the workers have the machine's cores, or --cpus of them; each has at least one."""
    least, colon, most = text.partition(":")
    if not (colon and least.isdecimal() and most.isdecimal()):
        raise click.BadParameter(f"{text!r} is not MIN:MAX, such as 0:4", param_hint="--workers")
    num_cpus = max(1, (cpus or os.cpu_count() or 1) // max(1, int(most)))
    return LocalPool(min_nodes=int(least), max_nodes=int(most), num_cpus=num_cpus, num_gpus=accelerators)
