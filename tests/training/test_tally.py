import torch

from cifar_ray.training.tally import Tally


def test_an_accuracy_is_k_of_n_to_the_last_bit() -> None:
    """In float32, 2,995 of 5,000 would lie beside ASHA's cut-off of 0.599 instead of on it."""
    labels = torch.zeros(5000, dtype=torch.int64)
    logits = torch.zeros(2, 5000, 10)
    logits[0, 2995:, 1] = logits[1, 1:, 1] = 1.0
    tally = Tally(2, torch.device("cpu"))
    tally.add(torch.tensor([1.0, torch.inf]), logits, labels)
    assert tally.means() == [(1.0, 2995 / 5000), (None, 1 / 5000)]
