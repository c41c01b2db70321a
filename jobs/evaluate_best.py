"""Score sweeps' winners on the test set, once, and write the report.

ray job submit --working-dir . -- python jobs/evaluate_best.py [SWEEP ...]
"""

from collections.abc import Callable, Sequence

import click
from rich.console import Console

from cifar_ray.errors import CifarRayError, ConfigurationError
from cifar_ray.evaluation.scoring import score_sweep
from cifar_ray.evaluation.winners import newest_finished_sweeps
from cifar_ray.records import TestScores
from cifar_ray.reporting.document import render_report
from cifar_ray.reporting.terminal import scores_renderable
from cifar_ray.settings import read_settings
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.connecting import connect
from cifar_ray.tuning.nodes import read_node_kinds
from cifar_ray.tuning.preflight import choose_storage
from cifar_ray.tuning.remote import run_each_on_best_node


@click.command(help=__doc__)
@click.argument("sweeps", nargs=-1)
@click.option("--storage", metavar="URI", help="s3://bucket/prefix or a folder. [default: CIFAR_RAY_STORAGE]")
def evaluate_best(sweeps: tuple[str, ...], storage: str | None) -> None:
    connect()
    settings = read_settings()
    kinds = read_node_kinds(settings.worker_pools)
    uri = choose_storage(storage, settings, num_nodes=sum(kind.max_nodes for kind in kinds))
    runs = RunStore(open_store(uri, settings.s3))
    chosen = list(dict.fromkeys(sweeps)) or newest_finished_sweeps(runs)
    if not chosen:
        raise ConfigurationError(f"no finished sweep in {uri}", "finish one first, such as `cifar-ray job submit cnn`")
    scores, failure = run_each_on_best_node(kinds, score_sweep, [(uri, sweep_id) for sweep_id in chosen])
    # before the reports: what was measured is told whatever becomes of them
    Console(width=110).print(scores_renderable(scores))
    failures = [failure] if failure else []
    try:
        write_reports(RunStore(PatientStore(runs.objects)), scores, failures.append)
    except CifarRayError as error:
        failures.append(error)
    for later in failures[1:]:
        later.show()
    if failures:
        raise failures[0]


def write_reports(runs: RunStore, scores: Sequence[TestScores], on_unreadable: Callable[[CifarRayError], None]) -> None:
    """Write the reports of the sweeps that can be read, and say where they are."""
    files = render_report(runs, scores, on_unreadable)
    for key, content in files.items():
        runs.objects.write(key, content)
    if pages := [key for key in files if key.endswith("/index.html")]:
        click.echo(f"report: {', '.join(f'{runs.objects.uri}/{key}' for key in pages)}")


if __name__ == "__main__":
    evaluate_best()
