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
| fusionjax, 5 seeds averaged | .550 [.508, .592] | .249 [.196, .311] |
| one seed alone | .544 ±.015 | .259 ±.013 |
| momentum | .480 [.438, .520] | |
| logistic regression / ridge | .550 | **.246 [.196, .306]** |
| persistence, last 5 / GARCH(1, 1) | | .402 [.329, .485] / .326 [.256, .402] |
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


def test_errors_are_those_with_an_interval() -> None:
    assert DRAWN["errors"](SCORES) == {
        "fusionjax": (0.249, 0.196, 0.311),
        "ridge": (0.246, 0.196, 0.306),
        "persistence, last 5": (0.402, 0.329, 0.485),
        "GARCH(1, 1)": (0.326, 0.256, 0.402),
    }
