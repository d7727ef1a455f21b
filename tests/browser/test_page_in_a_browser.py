"""The report's page in headless Chromium."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_records import write_sweep

from gansweep.report.page.page import write_report


@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_draws_every_plot_without_an_error_or_a_request(
    tmp_path: Path,
) -> None:
    sweep = write_sweep(tmp_path / "runs")
    path = write_report([sweep], sweep / "report.html")
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(found for name in names if (found := shutil.which(name)))
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,2000",
        "--virtual-time-budget=10000", "--enable-logging=stderr", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run(
        [browser, *flags, path.as_uri()], capture_output=True, text=True, timeout=120
    )
    dom, _, _ = done.stdout.partition("<footer>")
    plots = len(re.findall(r'<div class="plot[ "]', dom))
    assert plots > 10
    assert f'data-plots="{plots}"' in done.stdout
    # Plotly draws at least one svg in each plot; the others on the page are samples of lines
    assert len(re.findall(r'<svg class="main-svg"', dom)) >= plots
    # a blocked request, a blocked script and an exception are each a line of the console
    assert "CONSOLE" not in done.stderr, done.stderr
    # "240µ" is no readable learning rate
    assert not re.search(r">[\d.]+[kMGµmn]</text>", dom)
