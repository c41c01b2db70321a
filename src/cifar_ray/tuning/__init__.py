"""Drives Ray Tune."""

import os

# read when Ray is loaded: what its autoscaler says twice a second of a demand that waits, `watchdog` says in one line
os.environ.setdefault("RAY_SCHEDULER_EVENTS", "0")
