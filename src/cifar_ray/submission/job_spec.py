"""Job specs: what is submitted, as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cifar_ray.errors import ConfigurationError
from cifar_ray.settings import check_no_user
from cifar_ray.storage.layout import check_sweep_id, new_id
from cifar_ray.storage.object_store import open_store
from cifar_ray.studies import Study
from cifar_ray.studies.options import SweepOptions

EVALUATION_JOB = "evaluate_best.py"


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A request to Ray's Jobs API."""

    submission_id: str
    entrypoint: tuple[str, ...]
    """The command, run in `working_dir` on the cluster's head."""
    working_dir: str
    """Folder that is uploaded: the jobs alone, since the cluster has the package."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """The job's own variables, in addition to the cluster's."""


def tuning_job(study: Study, options: SweepOptions, jobs: Path) -> JobSpec:
    """The job that sweeps `study`. A new sweep gets its id here, so that the submitter knows it."""
    sweep_id = check_sweep_id(options.sweep_id or new_id(study.name))
    check_no_user("--data", options.data)
    if options.storage is not None:
        # refuses a malformed one here, and names in full a folder that is yet to be made: the job runs elsewhere
        options = replace(options, storage=open_store(options.storage).uri)
    options = replace(options, sweep_id=sweep_id)
    # a resumed sweep is a second job of the same sweep
    submission_id = new_id(sweep_id) if options.resume or options.start_or_resume else sweep_id
    return JobSpec(
        submission_id=submission_id,
        entrypoint=("python", *study.job, *options.to_arguments()),
        working_dir=_check_jobs(jobs, study.job[0]),
        metadata={
            "study": study.name,
            "sweep_id": sweep_id,
            **({"storage": options.storage} if options.storage else {}),
        },
    )


def evaluation_job(sweep_ids: Sequence[str], storage: str | None, jobs: Path) -> JobSpec:
    """The job that scores the winners of the given sweeps; of the newest of each study where none is given."""
    check_no_user("--storage", storage)
    arguments = list(sweep_ids)
    if storage is not None:
        # as for a sweep's job; an empty one would mean the default, whose winners nobody asked to score
        arguments += ["--storage", open_store(storage).uri]
    return JobSpec(
        submission_id=new_id("evaluate"),
        entrypoint=("python", EVALUATION_JOB, *arguments),
        working_dir=_check_jobs(jobs, EVALUATION_JOB),
        metadata={"study": "evaluate"},
    )


def find_jobs() -> Path:
    """The nearest `jobs` folder at or above the current folder, else the one of the checkout that this code is in."""
    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise ConfigurationError("the current folder has been removed", "change to one that exists") from error
    for folder in (here, *here.parents, Path(__file__).parents[3]):
        if (folder / "jobs" / EVALUATION_JOB).is_file():
            return folder / "jobs"
    raise ConfigurationError("no jobs/ folder here or above", "run from a checkout, or name it with --jobs")


def _check_jobs(jobs: Path, name: str) -> str:
    if not (jobs / name).is_file():
        raise ConfigurationError(f"{jobs} holds no {name}", "name the checkout's jobs folder with --jobs")
    return str(jobs.absolute())
