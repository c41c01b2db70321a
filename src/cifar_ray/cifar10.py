"""What is fixed about CIFAR-10: its classes and the shape of its images."""

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""In the order of the labels."""
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
VEHICLES = ("airplane", "automobile", "ship", "truck")

SIZE = 32
"""Side of an image, in pixels."""
NUM_PIXELS = SIZE * SIZE
IMAGE_SHAPE = (3, SIZE, SIZE)
"""Channels (RGB), rows, columns."""
