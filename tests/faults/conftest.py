"""The campaigns' figures, printed at the end of the run, whichever process made them."""

from collections.abc import Callable

import pytest


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep one line about a campaign for the summary."""
    return lambda line: request.node.user_properties.append(("campaign", line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [
        line
        for report in reports
        if report.when == "call"
        for name, line in report.user_properties
        if name == "campaign"
    ]
    if lines:
        terminalreporter.section("fault campaigns")
        for line in lines:
            terminalreporter.write_line(str(line))
