"""The counts of the selection's errors, and that what is counted can go wrong."""

import numpy as np
import pytest

from benchmarks.measures import selection_rates
from benchmarks.measures.selection_rates import World, rates, row, simulated
from fusionjax.distill import elimination
from studies.data import many


def test_rates_by_hand() -> None:
    kept = np.array([[1, 1, 0, 0], [1, 0, 1, 1]], bool)
    worth = np.tile([0.03, 0.01, 0.0, 0.0], (2, 1))
    r = rates("by hand", kept, worth, 2)
    assert (r.noise, r.any_noise) == (0.5, 0.5)
    assert r.false_share == pytest.approx((0 + 2 / 3) / 2)
    assert np.isnan(r.real[0])
    assert r.real[1:] == (0.5, 1.0)
    assert row(r).startswith("| by hand | 4, 2 | 2 | 50.0% | 50.0% | 33.3% |  | 50.0% | 100.0% |")


def test_the_kinds_of_world_ask_ten_modalities_of_what_is_hard_to_tell() -> None:
    names = [w.name for w in selection_rates.worlds((10, 40))]
    assert names.count("independent") == 4
    assert len(set(names)) == len(names) - 3


@pytest.mark.slow
def test_without_a_limit_noise_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured notices a rule that keeps whatever is above zero."""
    world = World("test", sessions=200)
    assert simulated(world, 10, 0).noise < 0.15
    monkeypatch.setattr(elimination, "limit", lambda remaining, asked: remaining * 0 + 0.5)
    assert simulated(world, 10, 0).noise > 0.3


def test_a_market_of_many_modalities_knows_what_each_is_worth() -> None:
    market = many.Market(5, (0.08, 0.48), correlation=0.3, stocks=5)
    drawn = many.draw(market, 3, test=20_000)
    assert drawn.views.names == ("m00", "m01", "m02", "m03", "m04")
    assert [len(drawn.views.split[k]) for k in ("train", "dev", "test")] == [2500, 500, 20_000]
    assert np.bincount(drawn.views.time).max() == 5
    # An eighth of the variance, a little less where other parts saturate.
    np.testing.assert_allclose(drawn.worth[:2], [0.0093, 0.053], rtol=0.3)
    assert not drawn.worth[2:].any()
