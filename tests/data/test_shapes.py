import numpy as np

from cifar_ray.data.shapes import SHAPES, draw_shapes


def test_balanced_shuffled_and_seeded() -> None:
    images, labels = draw_shapes(600, seed=0)
    assert images.shape == (600, 3, 32, 32)
    assert np.bincount(labels).tolist() == [60] * len(SHAPES)
    assert labels[:60].tolist() != [number % 10 for number in range(60)]
    assert labels[:60].tolist() != sorted(labels[:60].tolist())
    again, _ = draw_shapes(600, seed=0)
    other, _ = draw_shapes(600, seed=1)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)


def test_every_class_has_a_drawing_of_its_own() -> None:
    grid = np.linspace(-1.2, 1.2, 41, dtype=np.float32)
    u, v = (each.reshape(1, -1) for each in np.meshgrid(grid, grid))
    drawings = [np.asarray(inside(u, v)) > 0 for inside in SHAPES.values()]
    for number, drawing in enumerate(drawings):
        assert 0.08 < drawing.mean() < 0.7, list(SHAPES)[number]
        for other in drawings[:number]:
            assert (drawing != other).mean() > 0.04


def test_no_shape_reaches_far_from_its_centre() -> None:
    """A shape drawn inside out would be told from the others by its brightness alone."""
    angles = np.linspace(0, 2 * np.pi, 100, dtype=np.float32)[None]
    for name, inside in SHAPES.items():
        assert (inside(1.5 * np.cos(angles), 1.5 * np.sin(angles)) < 0).all(), name
