"""The memory of preparing many bars is bounded, measured in processes; an old build is compared."""

import pytest
from conftest import ROOT

from benchmarks.measures import preparation
from fusionjax.errors import InputError


@pytest.mark.nightly
def test_memory_grows_by_little_a_bar() -> None:
    few, many = (preparation.of_build(ROOT, "opening", bars) for bars in (2_500, 102_500))
    assert (few["bars"], many["bars"]) == (2_500, 102_500)
    peaks = (m["resident memory at most, MB"] for m in (many, few))
    assert (next(peaks) - next(peaks)) * 1e6 / 100_000 < 4_000, (few, many)


@pytest.mark.slow
def test_what_is_mapped_takes_no_memory_and_no_time() -> None:
    found = preparation.of_build(ROOT, "columns", 1_000_000)
    assert found["opening, CPU seconds"] < 1
    assert found["private memory of what is opened, MB"] < 5
    assert found["private memory after 100 batches of 1,024 samples, MB"] < 100


def test_a_folder_without_a_build_is_refused() -> None:
    with pytest.raises(InputError, match="nowhere: holds no fusionjax/; give the folder of a che"):
        preparation.of_build(ROOT / "nowhere", "opening", 1)
