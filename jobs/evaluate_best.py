"""Score sweeps' winners on the test set, once, and write the report.

ray job submit --working-dir . -- python jobs/evaluate_best.py [SWEEP ...]
"""

import click
from rich.console import Console

from cifar_ray.evaluation import score_sweep
from cifar_ray.evaluation.winners import newest_finished_sweeps
from cifar_ray.reporting.document import write_reports
from cifar_ray.reporting.terminal import scores_renderable
from cifar_ray.settings import read_settings
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.connecting import connect
from cifar_ray.tuning.nodes import read_node_kinds
from cifar_ray.tuning.preflight import choose_storage
from cifar_ray.tuning.remote import run_each_on_best_node


@click.command(help=__doc__)
@click.argument("sweeps", nargs=-1)
@click.option("--storage", metavar="URI", help="s3://bucket/prefix or a folder. [default: as for sweeps]")
def evaluate_best(sweeps: tuple[str, ...], storage: str | None) -> None:
    connect()
    settings = read_settings()
    kinds = read_node_kinds(settings.worker_pools)
    uri = choose_storage(storage, settings, num_nodes=sum(kind.max_nodes for kind in kinds))
    runs = RunStore(open_store(uri, settings.s3))
    chosen = list(dict.fromkeys(sweeps)) or newest_finished_sweeps(runs)
    scores, failure = run_each_on_best_node(kinds, score_sweep, [(uri, sweep_id) for sweep_id in chosen])
    # before the reports: what was measured is told whatever becomes of them
    Console(width=110).print(scores_renderable(scores))
    failures = [failure] if failure else []
    if pages := write_reports(runs, scores, failures.append):
        click.echo(f"report: {', '.join(pages)}")
    for later in failures[1:]:
        later.show()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    evaluate_best()
