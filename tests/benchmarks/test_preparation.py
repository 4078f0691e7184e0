"""The memory of preparing many bars is bounded: a few kilobytes a bar, measured in processes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


def gigabytes(bars: int, folder: Path) -> float:
    """The peak of a process that prepares and opens so many bars."""
    flags = [f"--config={ROOT}/configs/demo.py", f"--bars={bars}"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "preparation.py"), *flags],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    found = re.search(r"([\d,]+) bars: .* and ([\d.]+) GB\s+while opening", done.stdout, re.DOTALL)
    assert found, done.stdout
    assert int(found[1].replace(",", "")) == bars
    return float(found[2])


@pytest.mark.nightly
def test_memory_grows_by_little_a_bar(tmp_path: Path) -> None:
    few, many = (gigabytes(bars, tmp_path) for bars in (2_500, 102_500))
    assert (many - few) * 1e9 / 100_000 < 4_000, (few, many)
