"""Silences the notes that Lightning prints at every training."""

from __future__ import annotations

import logging
import warnings


def quieten_lightning() -> None:
    """Silence them in this process, without importing Lightning."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
