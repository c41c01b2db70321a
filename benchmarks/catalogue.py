"""The sections, in the order in which they run."""

from __future__ import annotations

from benchmarks.sections.checkpoints import CHECKPOINTS
from benchmarks.sections.cohort import COHORT
from benchmarks.sections.data_path import DATA
from benchmarks.sections.peak import PEAK
from benchmarks.sections.resnet import RESNET
from benchmarks.sections.scheduling import SCHEDULING
from benchmarks.sections.single import SINGLE
from benchmarks.sections.sweep import SWEEP

SECTIONS = {section.name: section for section in (DATA, SINGLE, RESNET, COHORT, SWEEP, SCHEDULING, CHECKPOINTS, PEAK)}
