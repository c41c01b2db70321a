"""Finished sweeps, and checkpoints of networks that nobody trained, for the tests of evaluation."""

from cifar_ray.finals import Finals
from cifar_ray.models import build_model
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.storage.checkpoints import Checkpoint
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.state import pack_weights


def finish(runs: RunStore, sweep: SweepRecord, winner: TrialRecord | None, finals: Finals | None = None) -> None:
    runs.create_sweep(sweep)
    runs.write_result(
        SweepResult(
            sweep_id=sweep.sweep_id,
            study=sweep.study,
            ranking=(),
            winner=winner,
            outcomes={},
            num_epochs=1,
            wall_s=1.0,
            accelerator_seconds=0.0,
            finished_at=sweep.started_at,
            finals=finals,
        )
    )


def untrained_checkpoint(config: TrialConfig, epoch: int, accuracy: float) -> Checkpoint:
    return Checkpoint(
        epoch=epoch,
        validation_accuracy=accuracy,
        config=config.to_dict(),
        weights=pack_weights(build_model(config).state_dict()),
        trainer_state=b"",
    )
