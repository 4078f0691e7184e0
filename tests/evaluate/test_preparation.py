"""The memory of preparing many bars is bounded: what is asked for is measured, and it is little."""

import re

from conftest import SP500, seeing
from rich.progress import Progress

from fusionjax.config import resolve
from fusionjax.evaluate import preparation


def test_the_memory_of_a_small_market() -> None:
    said = preparation.measure(resolve(seeing(SP500)), 6_000, Progress(disable=True))
    found = re.fullmatch(
        r"7,500 bars: prepared at ([\d,]+) and opened at ([\d,]+) rows a second; resident memory "
        r"at most ([\d.]+) GB while preparing and ([\d.]+) GB while opening, ([\d.]+) GB before",
        said,
    )
    assert found, said
    preparing, opening, before = (float(x) for x in found.groups()[2:])
    assert before <= preparing <= opening
