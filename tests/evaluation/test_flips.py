from itertools import chain

import torch
from torch import nn

from cifar_ray.data.split import TrainingData
from cifar_ray.evaluation.scoring import predict
from cifar_ray.training.feeds import validation_feed


def test_flips_are_counted_apart(training_data: TrainingData) -> None:
    """The plain answer is the plain one; the other one adds the logits of the mirror image."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()
    batches = validation_feed(training_data, torch.device("cpu"))
    answers = predict(model, batches)
    images = torch.cat([images for images, _ in chain.from_iterable(batches)])
    mirrored = images[:, :, :, torch.arange(31, -1, -1)]
    with torch.inference_mode():
        plain, both = model(images).argmax(1), (model(images) + model(mirrored)).argmax(1)
    assert answers.predicted.tolist() == plain.tolist()
    assert answers.predicted_with_flips.tolist() == both.tolist()
    assert plain.tolist() != both.tolist()
