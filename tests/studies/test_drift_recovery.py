"""A planted change is where it was planted, and a recovery is counted by hand."""

import numpy as np
import pytest
from conftest import tiny_market

from studies.streams.drift_recovery import KINDS, planted, recovery_of

CHANGE = np.datetime64("2020-06-01")


@pytest.mark.parametrize("kind", KINDS)
def test_the_clue_tells_the_next_move_until_it_changes(kind: str) -> None:
    market = tiny_market(days=300, symbols=("AA", "BB", "CC", "DD"))
    made = planted(market, kind, "ret", CHANGE, 0)
    np.testing.assert_array_equal(made.channels[:, 1], market.channels[:, 1])
    tomorrow = np.append(np.diff(np.log(market.adj_close)), 0.0)
    inside = np.arange(len(tomorrow)) < market.last_row
    days = (market.session - CHANGE).astype(int)

    def right(first: int, last: int) -> float:
        rows = inside & (days >= first) & (days < last)
        clue = made.channels[rows, 0] - (3.0 if kind == "feature-only" and first >= 0 else 0.0)
        return float(((clue > 0) == (tomorrow[rows] > 0)).mean())

    assert right(-150, 0) > 0.88, "by hand: Φ(1.5) = .93"
    late = {"abrupt": 0.07, "gradual": 0.07, "recurring": None, "feature-only": 0.93, "none": 0.93}
    if kind == "recurring":
        assert right(0, 40) < 0.15
        assert right(40, 80) > 0.85
    else:
        assert abs(right(60, 140) - late[kind]) < 0.05  # type: ignore[operator]
    if kind == "gradual":
        assert 0.35 < right(20, 40) < 0.65


def test_a_recovery_by_hand() -> None:
    sessions = np.arange("2020-01-01", "2020-04-10", dtype="datetime64[D]")  # a hundred
    accuracy = np.full(100, 0.7)
    accuracy[50:70] = 0.4
    made = recovery_of("abrupt", "incremental", accuracy, sessions, sessions[50])
    # 90 % of the advantage is .68: ten sessions have it from the 70th on, seen on the 80th.
    assert made.before == pytest.approx(0.7)
    assert made.lowest == pytest.approx(0.4)
    assert made.sessions == 30
    assert made.last == pytest.approx(0.7)
    gone = np.where(np.arange(100) < 50, 0.7, 0.4)
    assert np.isnan(recovery_of("abrupt", "never", gone, sessions, sessions[50]).sessions)
    assert recovery_of("none", "never", np.full(100, 0.7), sessions, sessions[50]).sessions == 0
