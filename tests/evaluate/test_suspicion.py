"""The leak alarm hears whoever knows the future, by head and horizon, and no honest forecaster."""

import numpy as np
import pytest
from conftest import tiny_market
from test_baselines import config

from benchmarks.measures import leak_rates
from fusionjax.adapt.promotion import PromotionDecision
from fusionjax.config import EvaluateConfig
from fusionjax.data import samples
from fusionjax.errors import InputError
from fusionjax.evaluate import leaks
from fusionjax.heads.base import Scored
from fusionjax.scores import suspicion

DAY = np.arange(200)


@pytest.mark.parametrize(("days", "stocks"), [(20, 1), (42, 8), (250, 1)])
def test_who_knows_all_is_heard_in_every_head(days: int, stocks: int) -> None:
    counts = leak_rates.heard(days, stocks, "knows all", 2)
    assert counts["any"] == 2
    everywhere = {"direction at 1", "returns at 1", "returns at 5", "volatility at 1"}
    assert all(counts.get(where) == 2 for where in everywhere), counts
    if days == 250:
        long = {"direction at 6", "direction at 10", "volatility at 5", "volatility at 20"}
        assert all(counts.get(where) == 2 for where in long), counts


def test_as_much_noise_as_knowledge_is_heard() -> None:
    assert leak_rates.heard(42, 8, "knows with as much noise", 2)["any"] == 2


@pytest.mark.parametrize("seed", range(1, 11))  # number 0 is the one of two hundred
def test_honest_forecasters_are_not_accused(seed: int) -> None:
    """Even those who know the volatility, whose errors last, or who foresee a little."""
    assert not leak_rates.alarms(41 * seed)


@pytest.mark.nightly
def test_of_two_hundred_honest_forecasters_one_at_most_is_accused() -> None:
    assert sum(bool(leak_rates.alarms(seed)) for seed in range(200)) <= 1


def test_the_line_names_forecaster_head_horizon_and_figure() -> None:
    c, market = config(), tiny_market(days=200)
    session = np.unique(market.session)
    train = samples.between(market, c, session[0], session[100])
    scored = samples.between(market, c, session[101], session[-1])
    known = scored.targets.label["direction"].astype(float) * 0.8 + 0.1
    learned, later = (Scored.of("direction", s, market, c) for s in (train, scored))
    values = {"also": known[:, 0], "coin": 0 * known[:, 0]}
    heard = leaks.of_horizon("direction", 0, values, learned, later)
    assert heard[0].startswith("LEAK ALARM: also, direction at 1 session(s): accuracy 100.0%, more")
    assert all(line.startswith("LEAK ALARM: also") for line in heard)
    settings = EvaluateConfig()
    with pytest.raises(InputError, match=r"accuracy 100.0%.* more\)\. What was written is marked"):
        leaks.require_answered([*heard, *heard], settings)
    leaks.require_answered(heard, EvaluateConfig(leak_alarm_override="a toy"))
    leaks.require_answered([], settings)
    assert leaks.marks(heard, "")[-1].startswith("SUSPECT: no result until")
    assert leaks.marks(heard, "a toy")[-1] == "These leak alarms were answered: a toy"
    assert leaks.marks([], "") == []


def test_a_gain_by_hand() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.chisquare(1, 200)
    noise = rng.uniform(0.9, 1.1, 200)
    assert suspicion.gain(theirs * 0.9 * noise, theirs, DAY, 1, 0.25) is None
    got = suspicion.gain(theirs * 0.5 * noise, theirs, DAY, 1, 0.25)
    assert got == pytest.approx(0.5, abs=0.02)
    assert suspicion.gain(0 * theirs, theirs, DAY, 5, 0.5) == 1.0
    one_day = theirs.copy()
    one_day[7] = 1e4  # a single day of which the reference knew nothing proves nothing
    assert suspicion.gain(theirs, one_day, DAY, 1, 0.25) is None
    assert suspicion.gain(0 * theirs[:8], theirs[:8], DAY[:8], 1, 0.25) is None, "two blocks"


def test_a_single_direction_of_the_market_is_no_skill() -> None:
    rose = np.random.default_rng(1).uniform(size=200) < 0.8
    assert suspicion.hits(rose, 0.8, DAY, 1, 0.12) is None, "always up in a market that rises"
    assert suspicion.hits(np.ones(250, bool), 0.55, np.arange(250), 10, 0.17) == 1.0
    assert suspicion.hits(np.ones(20, bool), 0.55, DAY[:20], 10, 0.17) is None, "two labels"
    assert suspicion.hits(np.ones(20, bool), 0.5, DAY[:20], 1, 0.12) == 1.0


def test_a_correlation_is_heard_with_either_sign() -> None:
    rng = np.random.default_rng(2)
    day, x = np.repeat(DAY, 6), rng.normal(size=1200)
    y = x + rng.normal(size=1200)
    for sign in (1, -1):
        got = suspicion.correlation(sign * x, y, day, 1, 0.1)
        assert got == pytest.approx(sign * 0.7, abs=0.1)
    assert suspicion.correlation(x, rng.normal(size=1200), day, 1, 0.1) is None
    common = rng.normal(size=200)[day]  # the same for all stocks of a day
    got = suspicion.correlation(common, common + rng.normal(size=1200), day, 1, 0.1)
    assert got is not None


def test_a_suspect_update_is_not_promoted_until_it_is_answered() -> None:
    fine = PromotionDecision(True, "promoted", 10, "2020-01-01", "2020-02-01", {})
    assert fine.unless_suspect([], "").promoted
    refused = fine.unless_suspect(["LEAK ALARM: x"], "")
    assert not refused.promoted
    assert refused.why == "refused: LEAK ALARM: x"
    worse = PromotionDecision(False, "refused: worse", 10, "2020-01-01", "2020-02-01", {})
    assert worse.unless_suspect(["LEAK ALARM: x"], "").why == "refused: worse"
    answered = fine.unless_suspect(["LEAK ALARM: x"], "a planted market")
    assert answered.promoted
    assert answered.suspect == ("LEAK ALARM: x",)
