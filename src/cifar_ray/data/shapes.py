"""Draws `shapes`, a procedural data set of ten classes of shapes, for machines that cannot reach CIFAR-10."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cifar_ray.cifar10 import NUM_PIXELS, SIZE

Floats = NDArray[np.float32]

CHUNK = 500
NUM_CLUTTER = 3
NOISE = 14.0
"""Standard deviation of the pixel noise, in levels of 255."""
DARK, ANY, BRIGHT = (0.0, 150.0), (0.0, 255.0), (90.0, 255.0)
"""Levels of background, clutter and shape: they overlap, so that colour alone does not tell them apart."""
MAX_TURN = math.radians(35)


def draw_shapes(num_images: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(N, 3, 32, 32) images and (N,) labels, balanced over the classes and shuffled; they depend on N and seed alone.

    A shape has random colour, size, place and rotation, over a background of two colours with strokes and blobs
    as clutter and noise over everything.
    """
    rng = np.random.default_rng([seed, num_images])
    labels = rng.permutation(np.arange(num_images, dtype=np.int64) % len(SHAPES))
    images = np.empty((num_images, 3, SIZE, SIZE), dtype=np.uint8)
    for start in range(0, num_images, CHUNK):
        images[start : start + CHUNK] = _draw_chunk(labels[start : start + CHUNK], rng)
    return images, labels


def _draw_chunk(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    num_images = len(labels)
    rows, columns = np.divmod(np.arange(NUM_PIXELS, dtype=np.float32), SIZE)
    canvas = _backgrounds(num_images, rows, columns, rng)
    for _ in range(NUM_CLUTTER):
        canvas = _paint(canvas, _stroke(num_images, rows, columns, rng), _colours(num_images, rng, *ANY))
    radius = _uniform(rng, 7.0, 12.0, num_images)
    margin = radius - 2.0
    x = columns - (margin + (SIZE - 1 - 2 * margin) * _uniform(rng, 0, 1, num_images))
    y = rows - (margin + (SIZE - 1 - 2 * margin) * _uniform(rng, 0, 1, num_images))
    angle = _uniform(rng, -MAX_TURN, MAX_TURN, num_images)
    u = (np.cos(angle) * x + np.sin(angle) * y) / radius
    v = (np.cos(angle) * y - np.sin(angle) * x) / radius
    depth = np.empty_like(u)
    for label, inside in enumerate(SHAPES.values()):
        members = labels == label
        depth[members] = inside(u[members], v[members])
    # an edge of one pixel's width
    cover = np.clip(0.5 + depth * radius, 0, 1)
    canvas = _paint(canvas, cover, _colours(num_images, rng, *BRIGHT))
    canvas += rng.normal(0, NOISE, canvas.shape).astype(np.float32)
    return np.clip(canvas, 0, 255).astype(np.uint8).reshape(num_images, 3, SIZE, SIZE)


def _uniform(rng: np.random.Generator, low: float, high: float, num_images: int) -> Floats:
    """(n, 1)."""
    return rng.uniform(low, high, (num_images, 1)).astype(np.float32)


def _colours(num_images: int, rng: np.random.Generator, low: float, high: float) -> Floats:
    """(n, 3), levels between two bounds."""
    return rng.uniform(low, high, (num_images, 3)).astype(np.float32)


def _backgrounds(num_images: int, rows: Floats, columns: Floats, rng: np.random.Generator) -> Floats:
    """(n, 3, 1024): a gradient from one colour to another in a random direction."""
    angle = _uniform(rng, 0, 2 * math.pi, num_images)
    slope = (np.cos(angle) * (columns - 15.5) + np.sin(angle) * (rows - 15.5)) / SIZE + 0.5
    share = np.clip(slope, 0, 1)[:, None, :]
    one, other = (_colours(num_images, rng, *DARK)[..., None] for _ in range(2))
    blend: Floats = one * (1 - share) + other * share
    return blend


def _stroke(num_images: int, rows: Floats, columns: Floats, rng: np.random.Generator) -> Floats:
    """(n, 1024) coverage of a line of random place, length and direction; a short one is a blob."""
    x, y = _uniform(rng, 0, SIZE, num_images), _uniform(rng, 0, SIZE, num_images)
    length, angle = _uniform(rng, 0, 16, num_images), _uniform(rng, 0, 2 * math.pi, num_images)
    dx, dy = columns - x, rows - y
    along = np.clip(np.cos(angle) * dx + np.sin(angle) * dy, 0, length)
    distance = np.hypot(dx - along * np.cos(angle), dy - along * np.sin(angle))
    return np.asarray(np.clip(_uniform(rng, 0.8, 2.2, num_images) - distance, 0, 1))


def _paint(canvas: Floats, cover: Floats, colours: Floats) -> Floats:
    share = cover[:, None, :]
    painted: Floats = canvas * (1 - share) + colours[..., None] * share
    return painted


# Each takes coordinates (n, 1024), in radii from the shape's centre, and gives each point's depth inside the shape.


def _circle(u: Floats, v: Floats) -> Floats:
    return np.asarray(1 - np.hypot(u, v))


def _ring(u: Floats, v: Floats) -> Floats:
    return np.asarray(0.22 - np.abs(np.hypot(u, v) - 0.75))


def _crescent(u: Floats, v: Floats) -> Floats:
    return np.asarray(np.minimum(_circle(u, v), np.hypot(u - 0.55, v) - 0.75))


def _half_disc(u: Floats, v: Floats) -> Floats:
    return np.asarray(np.minimum(_circle(u, v), u + 0.2))


def _polygon(num_sides: int) -> Callable[[Floats, Floats], Floats]:
    """A regular polygon with its corners on the unit circle."""

    def inside(u: Floats, v: Floats) -> Floats:
        angles = 2 * math.pi * np.arange(num_sides) / num_sides
        sides = [math.cos(angle) * u + math.sin(angle) * v for angle in angles]
        return np.asarray(math.cos(math.pi / num_sides) - np.max(sides, axis=0))

    return inside


def _star(u: Floats, v: Floats) -> Floats:
    """A five-pointed star: the distance to the edge between the point (1, 0) and the notch at 36 degrees."""
    notch_x, notch_y = 0.42 * math.cos(math.pi / 5), 0.42 * math.sin(math.pi / 5)
    angle = np.abs((np.arctan2(v, u) + math.pi / 5) % (2 * math.pi / 5) - math.pi / 5)
    radius = np.hypot(u, v)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    edge = math.hypot(notch_x - 1, notch_y)
    return np.asarray(((notch_x - 1) * y - notch_y * (x - 1)) / edge)


def _cross(u: Floats, v: Floats) -> Floats:
    return np.asarray(np.maximum(_box(u, v, 1, 0.32), _box(u, v, 0.32, 1)))


def _bar(u: Floats, v: Floats) -> Floats:
    return _box(u, v, 1, 0.38)


def _box(u: Floats, v: Floats, half_width: float, half_height: float) -> Floats:
    return np.asarray(np.minimum(half_width - np.abs(u), half_height - np.abs(v)))


SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "circle": _circle,
    "ring": _ring,
    "crescent": _crescent,
    "half disc": _half_disc,
    "triangle": _polygon(3),
    "square": _polygon(4),
    "pentagon": _polygon(5),
    "star": _star,
    "cross": _cross,
    "bar": _bar,
}
"""The shape of each class, by name, in the order of the labels."""
