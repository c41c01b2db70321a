"""Lets the tests find `benchmarks`, which is not installed, however pytest is called."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
