from pathlib import Path

from cifar_ray.storage.folder import FolderStore
from cifar_ray.studies import get_study
from cifar_ray.tuning.assignment import assign, assigned_trial


def test_an_heir_begins_with_its_parents_weights(tmp_path: Path) -> None:
    settings = get_study("cnn").sample(0)[0].to_dict()
    store = FolderStore(tmp_path)
    first = assigned_trial(assign("t0000", settings), store, "cnn-1")
    heir = assigned_trial(assign("t0001", settings, "t0000"), store, "cnn-1")
    assert first.parent is None
    assert heir.parent is not None
    assert (heir.parent.trial_id, heir.checkpoints.trial_id) == ("t0000", "t0001")
