"""The README's picture is that of the tables it is drawn from."""

import runpy

import pytest
from conftest import ROOT

DRAWN = runpy.run_path(str(ROOT / "docs" / "draw_results.py"))

PAGE = """
| fusion | two | three | four | five | six | harm |
|---|---|---|---|---|---|---|
| distilled | 1.5±0.1 | **2.5** | 3.5 | 4.5 | 5.5 | +0.1 [-0.2, 0.3] |
| late | **1.0±0.2** | 2.0 | 3.0 | 4.0 | 5.0 | |

| another | table |
"""
SCORES = """
| fusionjax, 5 seeds averaged | .550 [.508, .592] | **.238** |
| one seed alone | .544 ±.015 | .259 ±.013 |
| momentum | .480 [.438, .520] | |
| ridge | | .246 |
| GARCH(1, 1) | | .326 |
"""


def test_the_picture_is_todays() -> None:
    drawn = (ROOT / "docs" / "results.svg").read_text()
    assert DRAWN["picture"]() == drawn, "run python docs/draw_results.py"


def test_a_table_ends_where_it_ends() -> None:
    assert [row[0] for row in DRAWN["table"](PAGE, "distilled")] == [
        "distilled",
        "late",
    ]
    with pytest.raises(StopIteration):
        DRAWN["table"](PAGE, "none of its rows")


def test_accuracies_are_read_without_their_spread() -> None:
    assert DRAWN["accuracies"](PAGE)["late"] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_errors_are_those_of_forecasters_of_volatility() -> None:
    assert DRAWN["errors"](SCORES) == {"fusionjax": 0.238, "ridge": 0.246, "GARCH(1, 1)": 0.326}
