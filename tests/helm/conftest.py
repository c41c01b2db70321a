"""The chart and a real helm, for all tests of this folder."""

from __future__ import annotations

import pytest
from chart import Chart
from helm_binary import NoHelmError, find_helm


@pytest.fixture(scope="session")
def chart() -> Chart:
    try:
        return Chart(find_helm())
    except NoHelmError as reason:
        pytest.skip(str(reason))
