from __future__ import annotations

import pytest

from lem.reports.report import Report, render_report
from tests.lem.reports.pages import make_inputs, make_orders


@pytest.fixture(scope="session")
def report() -> Report:
    """The report of two assets and six days."""
    return render_report(make_inputs(make_orders()))
