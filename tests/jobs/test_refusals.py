"""What a job refuses before anything is written, and how it says so."""

import json
from dataclasses import replace

import pytest
from job_commands import ROOT, run

from cifar_ray.cli.connection import LOCAL_FOLDER, connect_runs
from cifar_ray.cluster.local import LocalCluster
from cifar_ray.cluster.state import StateFolder
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage.lease import Lease
from cifar_ray.studies import get_study

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]


REFUSED = [
    ({"data": "cifar100"}, "no source and no folder"),
    ({"data": "/no/such/folder"}, "there is no folder /no/such/folder"),
    ({"data": "s3://cifar-ray/nothing-here"}, "holds no CIFAR-10"),
    ({"data": "shapes:500", "cpus_per_trial": 64.0, "no_cohort": True}, "no node can hold one trial"),
    ({"data": "shapes:500", "accelerators_per_trial": 1.0, "no_cohort": True}, "no node can hold one trial"),
    ({"data": "shapes:500", "storage": "s3://no-such-bucket/x"}, "NoSuchBucket"),
    ({"data": "shapes:500", "storage": "gs://x"}, "unknown scheme"),
    ({"data": "shapes:500", "sweep_id": "never-was", "resume": True}, "unknown sweep 'never-was'"),
    # a sweep that begins, whichever way it was asked for
    (
        {"data": "shapes:500", "sweep_id": "never-was", "start_or_resume": True, "accelerators_per_trial": 2.0},
        "accelerators per trial: 2 is out of range",
    ),
    ({"data": "shapes:500", "trials": 0}, "trials: 0 is out of range"),
    ({"data": "shapes:500", "sweep_id": "begun"}, "sweep 'begun' exists in"),
    (
        {"data": "shapes:500", "sweep_id": "begun", "resume": True, "seed": 7},
        "started otherwise: seed was 0, now 7",
    ),
    (
        {"data": "shapes:500", "sweep_id": "begun", "resume": True, "searcher": "tpe"},
        "started otherwise: searcher was random, now tpe",
    ),
    ({"data": "shapes:500", "best_of": "never-was"}, "no sweep never-was has finished"),
    ({"data": "shapes:500", "best_of": "begun"}, "no sweep begun has finished"),
    ({"data": "shapes:500", "best_of": "../x"}, "sweep id '../x' is malformed"),
    ({"data": "shapes:500", "best_of": "ended", "trials": 3}, "sweep ended ranks 0 trials, not 3"),
    ({"data": "shapes:500", "sweep_id": "ended", "resume": True, "trials": 77}, "now 77"),
    ({"data": "shapes:500", "best_of": "report", "trials": 2}, "the report names one winner"),
    ({"data": "shapes:500", "best_of": "population"}, "no one configuration gave the weights of sweep population"),
    ({"data": "shapes:500", "best_of": "another"}, "sweep another is of study fast, not cnn"),
    (
        {"data": "shapes:500", "sweep_id": "begun", "resume": True, "best_of": "one", "trials": 1},
        "best_of was None, now one",
    ),
    (
        {"data": "shapes:500", "best_of": "one", "setting": ["learning_rate=-1"]},
        "learning_rate is -1.0",
    ),
    (
        {
            "data": "shapes:500",
            "sweep_id": "one-more",
            "resume": True,
            "best_of": "one",
            "trials": 1,
            "setting": ["mixup=0.1"],
        },
        "settings was cutout=8, now mixup=0.1",
    ),
    # what no cohort can have keeps them out of one, and so do the configurations of such a sweep
    (
        {"data": "shapes:500", "best_of": "one", "setting": ["label_smoothing=0.1"], "cpus_per_trial": 64.0},
        "no node can hold one trial",
    ),
    ({"data": "shapes:500", "best_of": "smoothed", "cpus_per_trial": 64.0}, "no node can hold one trial"),
    ({"data": "shapes:500", "best_of": "one", "cpus_per_trial": 64.0}, "train together"),
    (
        {"data": "shapes:500", "best_of": "one", "validation_share": 0.02, "seed": 3},
        "sweep one has held out the images of seed 0",
    ),
    (
        {"data": "shapes:500", "sweep_id": "twentieth", "resume": True, "best_of": "one", "trials": 1}
        | {"validation_share": 0.1},
        "validation_share was 0.05, now 0.1",
    ),
    ({"data": "shapes:500", "sweep_id": "begun", "resume": True, "seeds": 2}, "num_seeds was 0, now 2"),
    ({"data": "shapes:500", "sweep_id": "held", "resume": True}, "sweep 'held' has a driver at work on it"),
    # gone on with, it says how it ended
    ({"data": "shapes:500", "sweep_id": "ended", "resume": True}, "no trial of sweep ended finished an epoch"),
]


@pytest.mark.fault("two drivers")
def test_a_sweep_refuses_bad_input_before_anything_is_written(
    cluster: LocalCluster, sweep_record: SweepRecord, trial_record: TrialRecord
) -> None:
    runs = connect_runs(None)
    sweep_record = replace(sweep_record, accelerators_per_trial=0.0)
    for sweep_id in ("begun", "held", "ended"):
        runs.create_sweep(replace(sweep_record, sweep_id=sweep_id))
    runs.create_sweep(replace(sweep_record, sweep_id="population", searcher="pbt"))
    config = get_study("cnn").sample(0)[0]
    for sweep_id, each in (("one", config), ("smoothed", replace(config, label_smoothing=0.1))):
        runs.create_sweep(replace(sweep_record, sweep_id=sweep_id))
        runs.write_trial(sweep_id, replace(trial_record, config=each.to_dict()))
    runs.create_sweep(replace(sweep_record, sweep_id="one-more", best_of="one", changes=("cutout=8",)))
    runs.create_sweep(
        replace(
            sweep_record,
            sweep_id="twentieth",
            best_of="one",
            dataset=replace(sweep_record.dataset, validation_share=0.05),
        )
    )
    ended = SweepResult(
        sweep_id="ended",
        study="cnn",
        ranking=(),
        winner=None,
        outcomes={"failed": 2},
        num_epochs=0,
        wall_s=1.0,
        accelerator_seconds=0.0,
        finished_at="2026-01-01T00:00:01+00:00",
    )
    runs.write_result(ended)
    runs.write_result(replace(ended, sweep_id="another", study="fast"))
    runs.write_result(replace(ended, sweep_id="population"))
    for sweep_id in ("one", "smoothed"):
        runs.write_result(replace(ended, sweep_id=sweep_id, ranking=("t0000",)))
    before = runs.objects.keys()
    cases = json.dumps([options for options, _ in REFUSED])
    folder = str(ROOT / "tests/jobs/refusals")
    with Lease(runs.objects, "held", say=print, on_loss=lambda: None):
        done = run("job", "submit", "--working-dir", folder, "--", "python", "refuse.py", cases, program="ray")
    refusals = [json.loads(line.partition(" ")[2]) for line in done.output.splitlines() if line.startswith("refused ")]
    assert len(refusals) == len(REFUSED), done.output
    for (options, says), (_, message, hint) in zip(REFUSED, refusals, strict=True):
        assert says in message, options
        assert hint, options
    assert runs.objects.keys() == before


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
    monkeypatch.setenv("CIFAR_RAY_DATA", "cifar100")
    refused = run("job", "submit", "cnn")
    assert "submitted cnn-" in refused.output
    assert "data 'cifar100' is no source and no folder" in refused.output
    monkeypatch.setenv("CIFAR_RAY_DATA", "s3://mine/cifar10")
    for options in ([], ["--data", "s3://mine/x"], ["--data", "shapes:500", "--storage", "s3://mine/x"]):
        refused = run("job", "submit", "cnn", *options)
        assert refused.exit_code == 2
        assert "in bucket 'mine' at http://127.0.0.1" in refused.output
        assert "hint: jobs of the local cluster reach only its own S3 server: use a folder" in refused.output
        assert "submitted" not in refused.output
