"""A sweep's options as click flags, the same for `cifar-ray job submit` and for `jobs/tune_*.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps
from typing import Any, get_args

import click

from cifar_ray.studies.options import Keep, SweepOptions
from cifar_ray.studies.study import Searcher

_FLAGS = (
    click.option("--trials", type=int, metavar="N", help="Number of trials. [default: the study's]"),
    click.option(
        "--max-epochs",
        type=int,
        metavar="N",
        help="Maximum epochs per trial, and per training of the finals. [default: the study's]",
    ),
    click.option(
        "--grace-period",
        type=int,
        metavar="N",
        help="Epochs that every trial gets before ASHA may stop it; with as many as the maximum, none is stopped. "
        "[default: the study's]",
    ),
    click.option(
        "--reduction-factor",
        type=int,
        metavar="N",
        help="At each rung, ASHA promotes the best 1/N of the trials. [default: the study's]",
    ),
    click.option(
        "--seeds",
        type=int,
        metavar="N",
        help="Number of new seeds on which finals retrain the best configurations, to choose the one with the best "
        "mean; 0 for no finals. [default: the study's]",
    ),
    click.option(
        "--best-of",
        metavar="SWEEP|report",
        help="Instead of sampling configurations, retrain the best one of that finished sweep of the study (the best N "
        "with --trials N) or, with `report`, the study's published winner, for as long as the study's finals or for "
        "--max-epochs. If the study has finals, they follow; --seeds 0 leaves them out.",
    ),
    click.option(
        "--validation-share",
        type=float,
        metavar="X",
        help="With --best-of: share of the training images to hold out for choosing the epoch. A smaller one than a "
        "search's, such as 0.02, leaves more to train on. [default: 0.1]",
    ),
    click.option(
        "--setting",
        multiple=True,
        metavar="NAME=VALUE",
        help="With --best-of: change a setting of its configurations, such as cutout=8; repeatable. Names are those of "
        "`cifar-ray study show`; model, depth, width and stem cannot be changed.",
    ),
    click.option(
        "--data",
        metavar="SOURCE",
        help="cifar10; shapes or shapes:N, generated images of simple shapes (N for training and validation); a folder "
        "or s3:// prefix with CIFAR-10 as pickled batches or Parquet; or auto: CIFAR_RAY_DATA, else cifar10 if it is "
        "cached or can be downloaded, else shapes. [default: CIFAR_RAY_DATA, else cifar10]",
    ),
    click.option(
        "--storage",
        metavar="URI",
        help="s3://bucket/prefix or a folder. [default: on the one-machine cluster, its own store; elsewhere the job's "
        "CIFAR_RAY_STORAGE, else, on a cluster of one node, results below that node's CIFAR_RAY_HOME]",
    ),
    click.option(
        "--searcher",
        type=click.Choice(get_args(Searcher)),
        help="What chooses the configurations. random: sampled before the sweep begins. tpe: Optuna's tree-structured "
        "Parzen estimator, once ten trials have ended. bohb-style: the same estimator, which also learns from every "
        "rung of ASHA. These two train at most a quarter of the trials at once, so that later ones can learn from "
        "earlier ones. pbt: population based training, with a fifth of the trials as population, for five generations "
        "of a fifth of the epochs; no trial is stopped early. [default: the study's]",
    ),
    click.option(
        "--seed",
        type=int,
        help="Seed of the sampled configurations, the split, the batches and the augmentation. [default: 0]",
    ),
    click.option(
        "--accelerators-per-trial",
        type=float,
        metavar="X",
        help="A fraction (0.25) or 1; refused if trials train in cohorts (see --no-cohort). [default: the study's if "
        "the cluster has any, else 0]",
    ),
    click.option(
        "--accelerator",
        metavar="TYPE",
        help="Train only on nodes with accelerators of this type, by Ray's name for it: T4, H100. [default: any]",
    ),
    click.option(
        "--cpus-per-trial",
        type=float,
        metavar="X",
        help="CPU cores, and threads, of a trial; refused if trials train in cohorts (see --no-cohort). [default: 1]",
    ),
    click.option(
        "--no-cohort",
        is_flag=True,
        help="Train the trials individually; ASHA ranks each against earlier trials only. Otherwise those of `cnn` and "
        "`cnn-ema` train in cohorts: as one network, many times faster, on the same batches, and ASHA ranks those "
        "that end an epoch together against each other, too.",
    ),
    click.option(
        "--keep",
        type=click.Choice(get_args(Keep)),
        default="all",
        show_default=True,
        help="Checkpoints to keep. all: each trial's best and two newest. winner: in the end only the winner's best; "
        "those of ended trials that cannot win are removed while the sweep runs, those of a population at its end.",
    ),
    click.option(
        "--time-limit",
        metavar="TIME",
        help="Stop the job after this time, such as 30m, 2h or 1d12h, as if asked to; its own exit code is then 124. "
        "The sweep can be resumed. [default: no limit]",
    ),
    click.option("--sweep-id", metavar="ID", help="Name of the sweep in the store. [default: study and time]"),
    click.option(
        "--resume",
        is_flag=True,
        help="Continue the sweep of --sweep-id, with the options that it began with, except --accelerator, --keep, "
        "--storage and --time-limit, which belong to each job. Ended trials are not trained again. With more --trials "
        "than it has, a sweep gets those besides, finished or not, unless its finals have begun or it is evaluated.",
    ),
    click.option(
        "--start-or-resume",
        is_flag=True,
        help="Continue the sweep of --sweep-id if the store has it, else start it: for jobs that are retried.",
    ),
)


def sweep_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of a sweep; it receives them as `options`, a SweepOptions."""

    @wraps(command)
    def with_options(**arguments: Any) -> Any:
        names = SweepOptions.__dataclass_fields__
        options = SweepOptions(**{name: arguments.pop(name) for name in names})
        return command(options=options, **arguments)

    return reduce(lambda wrapped, flag: flag(wrapped), reversed(_FLAGS), with_options)
