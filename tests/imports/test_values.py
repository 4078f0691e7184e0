"""Numbers and times as vendors write them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusionjax.errors import InputError
from fusionjax.imports import values

HERE = Path("a.csv")
NUMBERS = {
    "1,234,567.5": 1234567.5,
    "$12": 12,
    "-$1.5": -1.5,
    "1.23M": 1.23e6,
    "4k": 4000,
    "2B": 2e9,
    ".5": 0.5,
    "7.": 7,
    "1e-3": 0.001,
    "0.1234567890123456789": 0.1234567890123456789,
}
MISSING = ["", "-", ".", "null", "N/A", None]


def test_numbers_in_every_form() -> None:
    cells = pd.Series([*NUMBERS, *MISSING], dtype=object)
    found = values.numbers(cells, HERE, "Close")
    np.testing.assert_array_equal(found, [*NUMBERS.values(), *[np.nan] * len(MISSING)])


@pytest.mark.parametrize("text", ["1,23", "1.2.3", "1e6M", "12 %", "1.234,5", "M"])
def test_what_is_no_number_is_refused_by_its_row(text: str) -> None:
    with pytest.raises(InputError, match=r"a\.csv: row 1: Close is .* \(1 such rows\)"):
        values.numbers(pd.Series(["1,000", text], dtype=object), HERE, "Close")


@pytest.mark.parametrize(
    ("cell", "zone"),
    [
        ("1706572800", None),
        ("1706572800000", None),
        (1706572800, None),
        ("30/01/2024 0:00", None),
        ("2024-01-30T05:00:00Z", "America/New_York"),
        ("2024-01-29T15:00:00Z", "Asia/Tokyo"),
        (pd.Timestamp("2024-01-29T15:00Z"), "Asia/Tokyo"),
    ],
)
def test_days_of_midnights_and_of_seconds(cell: object, zone: str | None) -> None:
    days, found = values.days(pd.Series([cell]), HERE, "Date", "day-first")
    assert days[0] == pd.Timestamp("2024-01-30")
    assert found == zone


def test_a_fraction_of_a_second_is_rounded_up() -> None:
    (text,) = values.stamp_texts(pd.Series(["1706023800001"]), None)
    assert text == "2024-01-23T15:30:01Z"
