import numpy as np
import pytest

from cifar_ray.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    calibrate,
    calibration_error,
    cross_entropy,
    fit_temperature,
)


def draw(temperature: float, seed: int, num_images: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a model whose answers are as likely right as it says, made surer by that factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (num_images, 10))
    # Gumbel: the highest of logits plus noise has the probabilities that softmax gives
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    logits, labels = draw(temperature, seed=0)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    # the slow form
    grid = np.geomspace(0.2, 5, 2000)
    slow = grid[np.argmin([cross_entropy(logits[:500] / each, labels[:500]) for each in grid])]
    assert fit_temperature(logits[:500], labels[:500]) == pytest.approx(slow, rel=2e-3)


def test_a_model_that_is_too_sure_is_calibrated_without_changing_an_answer() -> None:
    found = calibrate(draw(2.5, seed=0), draw(2.5, seed=1))
    assert found.error > 0.15
    assert found.scaled_error < 0.015
    assert found.scaled_loss < found.loss


def test_the_temperature_is_of_the_validation_images_and_all_else_of_the_test_images() -> None:
    logits, labels = draw(0.5, seed=1)
    found = calibrate(draw(2.5, seed=0), (logits, labels))
    assert found.temperature == pytest.approx(2.5, rel=0.03)
    assert (found.error, found.loss) == (calibration_error(logits, labels), cross_entropy(logits, labels))
    scaled = logits / found.temperature
    assert (found.scaled_error, found.scaled_loss) == (calibration_error(scaled, labels), cross_entropy(scaled, labels))


def test_the_error_by_hand() -> None:
    # confidence 0.9 and right half the time, 0.6 and right always
    logits = np.log(np.array([[0.9, 0.1]] * 2 + [[0.6, 0.4]] * 2))
    assert calibration_error(logits, np.array([0, 1, 0, 0])) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert cross_entropy(logits, np.array([0, 1, 0, 0])) == pytest.approx(
        -(np.log(0.9) + np.log(0.1) + 2 * np.log(0.6)) / 4
    )


def test_answers_without_a_best_temperature_get_its_bounds() -> None:
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(MIN_TEMPERATURE, rel=1e-5)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(MAX_TEMPERATURE, rel=1e-5)
