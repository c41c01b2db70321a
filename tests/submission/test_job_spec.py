from dataclasses import replace
from pathlib import Path

import pytest

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies import STUDIES
from cifar_ray.studies.options import SweepOptions
from cifar_ray.submission.job_spec import evaluation_job, find_jobs, tuning_job

JOBS = find_jobs()


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_every_study_has_a_job_that_is_there(study: object) -> None:
    spec = tuning_job(study, SweepOptions(), JOBS)  # type: ignore[arg-type]  # parametrised
    assert (Path(spec.working_dir) / spec.entrypoint[1]).is_file()
    assert spec.entrypoint[-2:] == ("--sweep-id", spec.metadata["sweep_id"])


def test_a_stopped_job_tells_which_store_its_sweep_is_in() -> None:
    """The command that goes on with it is made of the metadata."""
    spec = tuning_job(STUDIES["cnn"], SweepOptions(storage="s3://bucket/x", sweep_id="mine-1"), JOBS)
    assert spec.metadata == {"study": "cnn", "sweep_id": "mine-1", "storage": "s3://bucket/x"}
    assert "storage" not in tuning_job(STUDIES["cnn"], SweepOptions(), JOBS).metadata


def test_a_folder_that_is_yet_to_be_made_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray runs the job in a temporary folder of its own, where the results would be lost."""
    monkeypatch.chdir(tmp_path)
    spec = tuning_job(STUDIES["cnn"], SweepOptions(storage="results"), JOBS)
    assert spec.metadata["storage"] == str(tmp_path / "results")
    assert spec.entrypoint[2:4] == ("--storage", str(tmp_path / "results"))


def test_the_options_reach_the_job() -> None:
    spec = tuning_job(STUDIES["cnn"], SweepOptions(trials=3, data="shapes", sweep_id="mine-1"), JOBS)
    assert spec.entrypoint == ("python", "tune_cnn.py", "--trials", "3", "--data", "shapes", "--sweep-id", "mine-1")
    assert spec.submission_id == "mine-1"


def test_a_study_of_ones_own_is_named_to_the_job_that_reads_its_file() -> None:
    own = replace(STUDIES["cnn"], name="mine", definition="…")
    spec = tuning_job(own, SweepOptions(trials=3, sweep_id="mine-1"), JOBS)
    assert spec.entrypoint == ("python", "tune_own.py", "mine", "--trials", "3", "--sweep-id", "mine-1")
    assert (JOBS / spec.entrypoint[1]).is_file()
    # of the longest name that its file may have
    tuning_job(replace(own, name="a" * 38), SweepOptions(), JOBS)


@pytest.mark.parametrize("flag", ["resume", "start_or_resume"])
def test_a_resumed_sweep_is_another_job(flag: str) -> None:
    spec = tuning_job(STUDIES["cnn"], SweepOptions(sweep_id="mine-1", **{flag: True}), JOBS)  # type: ignore[arg-type]
    assert spec.submission_id != "mine-1"
    assert spec.metadata["sweep_id"] == "mine-1"


def test_two_sweeps_of_one_second_do_not_meet() -> None:
    ids = {tuning_job(STUDIES["cnn"], SweepOptions(), JOBS).submission_id for _ in range(20)}
    assert len(ids) == 20


def test_evaluation() -> None:
    spec = evaluation_job(["a-1", "b-2"], "s3://bucket/x", JOBS)
    assert spec.entrypoint == ("python", "evaluate_best.py", "a-1", "b-2", "--storage", "s3://bucket/x")


def test_an_empty_storage_is_not_the_default_one() -> None:
    for make in (
        lambda: evaluation_job([], "", JOBS),
        lambda: tuning_job(STUDIES["cnn"], SweepOptions(storage=""), JOBS),
    ):
        with pytest.raises(ConfigurationError, match="is empty"):
            make()


def test_a_folder_without_jobs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no tune_cnn\.py"):
        tuning_job(STUDIES["cnn"], SweepOptions(), tmp_path)


def test_keys_in_a_uri_reach_no_job() -> None:
    uri = "s3://AKIA1:SECRETPW@bucket/x"
    for make in (
        lambda: tuning_job(STUDIES["cnn"], SweepOptions(data=uri), JOBS),
        lambda: tuning_job(STUDIES["cnn"], SweepOptions(storage=uri), JOBS),
        lambda: evaluation_job(["a-1"], uri, JOBS),
    ):
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert "SECRETPW" not in caught.value.message
