"""The winner's network, as a reader of the documents loads it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from finished import finish, untrained_checkpoint
from PIL import Image

import cifar_ray
from cifar_ray.data.image_set import ImageSet
from cifar_ray.errors import CheckpointError, ConfigurationError
from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study

FOLLOWING = (Path(__file__).parents[2] / "docs/following.md").read_text()
EXAMPLE = re.search(r"```python\n([^`]*load_model\(\"results/([\w-]+)\"[^`]*)```", FOLLOWING)
RECIPE = re.search(r"```python\n([^`]*torch\.export\.save[^`]*)```", FOLLOWING)


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep_record: SweepRecord, trial_record: TrialRecord) -> str:
    """The document's sweep, in the working folder, won by an untrained network."""
    assert EXAMPLE is not None
    monkeypatch.chdir(tmp_path)
    runs, sweep_id = RunStore(FolderStore(tmp_path / "results")), EXAMPLE[2]
    finish(runs, replace(sweep_record, sweep_id=sweep_id), trial_record)
    checkpoint = untrained_checkpoint(get_study("cnn").sample(0)[0], epoch=4, accuracy=0.45)
    CheckpointStore(runs.objects, sweep_id, "t0000").save(checkpoint)
    return f"results/{sweep_id}"


def test_it_predicts_what_its_network_makes_of_normalised_images(uri: str, image_set: ImageSet) -> None:
    model = cifar_ray.load_model(uri)
    images = image_set.images[:20]
    normalised = (torch.from_numpy(images).float() / 255 - torch.tensor(model.mean)[:, None, None]) / torch.tensor(
        model.standard_deviation
    )[:, None, None]
    with torch.inference_mode():
        expected = torch.softmax(model.network(normalised), dim=1).numpy()
    found = model.predict(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found.shape, model.network.training) == ((20, len(model.classes)), False)
    assert (model.winner.trial.trial_id, model.winner.checkpoint.epoch) == ("t0000", 4)
    assert model.predict(images[:0]).shape == (0, 10)
    for given in (list(images), torch.from_numpy(images)):
        np.testing.assert_array_equal(model.predict(given), found)


@pytest.mark.parametrize("images", [np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 3, 32, 32), np.float32)])
def test_other_images_are_refused(uri: str, images: np.ndarray) -> None:
    with pytest.raises(ConfigurationError, match=r"images are (uint8|float32) \(2, "):
        cifar_ray.load_model(uri).predict(images)


def test_a_copy_without_weights_says_how_to_get_them(uri: str) -> None:
    for path in Path(uri).rglob("manifest.json"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no complete checkpoint") as caught:
        cifar_ray.load_model(uri)
    assert "--checkpoints" in str(caught.value.hint)


def test_the_documents_example_runs(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert EXAMPLE is not None
    Image.new("RGBA", (300, 200), "orange").save("cat.png")
    exec(EXAMPLE[1], {})
    name, chance = capsys.readouterr().out.split()
    assert name in cifar_ray.load_model(uri).classes
    assert 0 < float(chance) <= 1


# of weights in channels-last format; they are whole
@pytest.mark.filterwarnings("ignore:No complete tensor found in the group")
def test_the_documents_exported_program_is_the_network(uri: str) -> None:
    assert RECIPE is not None
    model = cifar_ray.load_model(uri)
    exec(RECIPE[1], {"model": model})
    images = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(torch.export.load("winner.pt2").module()(images), model.network(images))
