"""Drives Ray Tune."""

import os

# read when Ray is imported: `watchdog` says in one line what Ray's autoscaler says of a pending demand twice a second
os.environ.setdefault("RAY_SCHEDULER_EVENTS", "0")
