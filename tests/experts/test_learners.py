"""What linear experts make of columns that most of the past lacks."""

import numpy as np
import pytest
from conftest import tiny_market

from fusionjax.config import Config
from fusionjax.errors import InputError
from fusionjax.experts.features import Features
from fusionjax.experts.learners import Linear
from fusionjax.heads.base import Scored

DAYS, STOCKS, LATE = 400, ("AA", "BB", "CC"), 120  # days that know the young column
MARKET = tiny_market(DAYS, STOCKS, texts=False)


class Given(Features):
    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return self.x[rows]


@pytest.fixture
def x() -> np.ndarray:
    """Two features of each row, the second one known late."""
    x = np.random.default_rng(0).standard_normal((len(MARKET.session), 2))
    x[MARKET.ordinal < DAYS - LATE, 1] = np.nan
    return x


@pytest.fixture
def train(x: np.ndarray) -> Scored:
    """Labels that both features move."""
    noise = 0.1 * np.random.default_rng(1).standard_normal(len(x))
    label, row = x[:, 0] + 0.5 * np.nan_to_num(x[:, 1]) + noise, np.arange(len(x))
    return Scored(MARKET, Config(), row, MARKET.session, 1, label, np.ones(len(x), bool))


def ridge(x: np.ndarray) -> Linear:
    return Linear("ridge", features=Given(x), classes=False, least_known=0.5)


def test_a_young_column_explains_what_the_others_leave_as_if_three_years_denied_it(
    x: np.ndarray, train: Scored
) -> None:
    others, last = ridge(x[:, :1]), train.target_day[-1]
    left = train.label - others.forecast(others.fit(train, last, 1e-5), MARKET, train.row)
    late = np.isfinite(x[:, 1])
    z = (x[late, 1] - x[late, 1].mean()) / x[late, 1].std()
    coefficient = ridge(x).fit(train, last, 1e-5)["coefficients"][1]
    np.testing.assert_allclose(coefficient, (z @ left[late]) / len(z) * LATE / (LATE + 750))
    assert 0.05 < coefficient < 0.1, "a half, seen on 120 of 870 days"


def test_where_a_young_column_is_missing_it_adds_nothing(x: np.ndarray, train: Scored) -> None:
    early, last = np.flatnonzero(np.isnan(x[:, 1])), train.target_day[-1]
    others, both = ridge(x[:, :1]), ridge(x)
    without = others.forecast(others.fit(train, last, 1.0), MARKET, early)
    value = both.forecast(both.fit(train, last, 1.0), MARKET, early)
    np.testing.assert_allclose(value, without, rtol=1e-9)


def test_a_column_that_nobody_knows_teaches_nothing(x: np.ndarray, train: Scored) -> None:
    x[:, 1] = np.nan
    learned = ridge(x).fit(train, train.target_day[-1], 1.0)
    assert learned["coefficients"][1] == 0
    assert np.isfinite(ridge(x).forecast(learned, MARKET, train.row)).all()


def test_what_learned_from_other_features_is_refused(x: np.ndarray, train: Scored) -> None:
    """As a run of a version whose experts read fewer."""
    earlier = ridge(x[:, :1]).fit(train, train.target_day[-1], 1.0)
    with pytest.raises(
        InputError, match=r"'ridge' has learned from 1 features, expected 2 as this"
    ):
        ridge(x).forecast(earlier, MARKET, train.row)
