"""Keeps what Lightning has to say, once a training, out of the report."""

from __future__ import annotations

import logging
import warnings


def quieten_lightning() -> None:
    """In this process; nothing of it is loaded for that."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
