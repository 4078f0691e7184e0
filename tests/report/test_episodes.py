"""The worst cases of a page: one an episode, whatever the market did in it."""

import numpy as np
import pytest

from fusionjax.report.cases import APART, Mistakes, episodes


def mistakes(rows: list[tuple[str, int]], horizon: int = 1) -> Mistakes:
    """Stocks and sessions of decisions, the worst first."""
    symbol, start = (np.array(x) for x in zip(*rows, strict=True))
    return Mistakes(symbol, start, start + horizon, np.arange(len(rows)))


def test_a_drop_of_six_days_is_one_case() -> None:
    october = [("SPX", day) for day in (103, 100, 101, 102, 104, 105)]
    (first, second) = episodes(mistakes([*october, ("SPX", 300)]), 20)
    assert first.tolist() == [0, 1, 2, 3, 4, 5], "the worst first"
    assert second.tolist() == [6]


@pytest.mark.parametrize("horizon", [1, 5])
def test_labels_that_are_far_enough_apart_are_two(horizon: int) -> None:
    """The sessions between the end of one label and the decision of the next."""
    for between, count in ((APART - 1, 1), (APART, 2)):
        for order in ((0, 1), (1, 0)):
            days = [10, 10 + horizon + between]
            got = episodes(mistakes([("A", days[i]) for i in order], horizon), 20)
            assert len(got) == count


def test_a_day_on_which_many_stocks_fell_is_one_and_another_stocks_day_is_not() -> None:
    market = [(f"S{i}", 50) for i in range(30)]
    got = episodes(mistakes([*market, ("S1", 70), ("T", 70)]), 20)
    assert [len(e) for e in got] == [30, 2], "S1 and T were wrong about another day"


def test_mistakes_do_not_chain_through_a_year() -> None:
    """A coin is wrong every other day: each case would be within reach of the next."""
    got = episodes(mistakes([("A", day) for day in range(0, 250, 2)]), 100)
    assert len(got) > 15
    assert sum(len(e) for e in got) == 125, "each mistake is in one episode"
    assert len(episodes(mistakes([("A", day) for day in range(0, 250, 2)]), 3)) == 3
