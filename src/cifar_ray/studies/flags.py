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
        help="Most epochs of one trial, and of each training of the finals. [default: the study's]",
    ),
    click.option(
        "--grace-period",
        type=int,
        metavar="N",
        help="Epochs that every trial gets before ASHA may stop it; with as many as the most, none is stopped. "
        "[default: the study's]",
    ),
    click.option(
        "--reduction-factor",
        type=int,
        metavar="N",
        help="Of the trials that reach one of ASHA's rungs, one in N goes on. [default: the study's]",
    ),
    click.option(
        "--seeds",
        type=int,
        metavar="N",
        help="Finals: on how many new seeds the best configurations are trained anew, to choose among them by the "
        "mean; 0 for none. [default: the study's]",
    ),
    click.option(
        "--best-of",
        metavar="SWEEP|report",
        help="Draw nothing: train the best configuration of that finished sweep of the study, or its best --trials, "
        "or, with `report`, the configuration that won the study in the report, "
        "for as long as the study's finals or for --max-epochs. Where the study has finals, they "
        "follow and train it anew on their seeds; --seeds 0 leaves them out.",
    ),
    click.option(
        "--validation-share",
        type=float,
        metavar="X",
        help="With --best-of: hold out a smaller share of the training images than a search does, such as 0.02, and "
        "learn from the others. It still chooses the epoch. [default: 0.1]",
    ),
    click.option(
        "--setting",
        multiple=True,
        metavar="NAME=VALUE",
        help="With --best-of: another value for a setting of its configurations, such as cutout=8; repeatable.",
    ),
    click.option(
        "--data",
        metavar="SOURCE",
        help="cifar10; shapes or shapes:N, simple shapes that are drawn (N for training and validation); a folder or "
        "s3:// prefix with CIFAR-10 as pickled batches or Parquet; or auto: CIFAR_RAY_DATA, else cifar10 if it is "
        "kept already or can be downloaded, else shapes. [default: CIFAR_RAY_DATA, else cifar10]",
    ),
    click.option(
        "--storage",
        metavar="URI",
        help="s3://bucket/prefix or a folder. [default: on the one-machine cluster its own store; elsewhere "
        "CIFAR_RAY_STORAGE where the job runs, else on one node results below CIFAR_RAY_HOME there]",
    ),
    click.option(
        "--searcher",
        type=click.Choice(get_args(Searcher)),
        help="Who chooses the configurations. random: drawn before the sweep begins. tpe: once ten trials have ended, "
        "near those that did best (Optuna's tree-structured Parzen estimator). bohb-style: the same model, fed with "
        "what every trial reached at each of ASHA's rungs. These two train at most a quarter of the trials at "
        "once, so that later ones can learn from earlier ones. pbt: a population of a fifth of the trials, trained for "
        "five generations of a fifth of the epochs; after each the worst quarter takes over weights of the best, "
        "with its rates changed a little, and none is cut. [default: the study's]",
    ),
    click.option(
        "--seed",
        type=int,
        help="Of the sampled configurations, the split, the batches and the augmentation. [default: 0]",
    ),
    click.option(
        "--accelerators-per-trial",
        type=float,
        metavar="X",
        help="A share (0.25) or 1; refused where trials train together, without --no-cohort. [default: the study's "
        "where the cluster has any, else 0]",
    ),
    click.option(
        "--accelerator",
        metavar="TYPE",
        help="Train on nodes with accelerators of that type alone, by Ray's name for it: T4, H100. [default: on any]",
    ),
    click.option(
        "--cpus-per-trial",
        type=float,
        metavar="X",
        help="CPU cores, and threads; refused where trials train together, without --no-cohort. [default: 1]",
    ),
    click.option(
        "--no-cohort",
        is_flag=True,
        help="Train the trials one by one, each judged against those that came before. Those of `cnn` and `cnn-ema` "
        "otherwise train together as one network, many times faster, on the same batches, and ASHA judges each against "
        "all others of its pass, too.",
    ),
    click.option(
        "--keep",
        type=click.Choice(get_args(Keep)),
        default="all",
        show_default=True,
        help="Checkpoints: each trial's best and two newest, or in the end the winner's best alone. Those of ended "
        "trials that cannot win then go while the sweep runs, a population's at its end.",
    ),
    click.option(
        "--time-limit",
        metavar="TIME",
        help="Stop this job after 30m, 2h or 1d12h, as if it were told to; its own exit code is then 124. The sweep "
        "can be resumed. [default: as long as it takes]",
    ),
    click.option("--sweep-id", metavar="ID", help="Name of the sweep in the store. [default: study and time]"),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on with the sweep of that id, with the options that it began with but for --accelerator, --keep, "
        "--storage and --time-limit, which are of a job; finished trials stay.",
    ),
    click.option(
        "--start-or-resume",
        is_flag=True,
        help="Go on with the sweep of that id if the store has it, else start it: for a job that is tried again.",
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
