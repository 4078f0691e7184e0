"""The sanity checks: a sound set-up passes, a broken one is stopped at the gate that shows it."""

from pathlib import Path

import jax
import pytest
from conftest import TINY, seeing, small, tiny_market

from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import sanity_checks
from fusionjax.parallel.mesh import make_mesh


def config() -> Config:
    return small(
        seeing({k: TINY[k] for k in ("price", "text")}),
        Path(),
        data__splits={"train": ("2020-01-01", "2021-06-01"), "dev": ("2021-06-02", "2021-08-20")},
        selection__fold_sessions=20,
        evaluate__market_channel="ret",
        model__fusion="equal",
        model__width=32,
        train__learning_rate=3e-3,
        train__steps=50,
    )


@pytest.fixture(scope="module")
def market() -> Market:
    return tiny_market(days=450, symbols=("AA", "BB", "CC"))


@pytest.mark.nightly
def test_a_sound_set_up_is_ready(market: Market) -> None:
    c = config()
    passed = list(sanity_checks.run(market, c, make_mesh(c.mesh, jax.devices()[:1])))
    assert [g.name for g in passed] == ["toy", "by heart", "small scale"]
    assert all(g.passed for g in passed), passed
    assert "of 256 real samples" not in passed[0].figure
    assert "on 256 real samples" in passed[1].figure
    sanity_checks.require_passed(passed)


@pytest.mark.slow
def test_what_learns_nothing_stops_at_the_first_gate(market: Market) -> None:
    c = config().override({"train.learning_rate": 1e-9})
    tried = list(sanity_checks.run(market, c, make_mesh(c.mesh, jax.devices()[:1])))
    assert [g.passed for g in tried] == [False], "nothing above a closed gate is tried"
    with pytest.raises(InputError, match=r"gate toy failed: \d\d.\d% .* inputs do not reach"):
        sanity_checks.require_passed(tried)
