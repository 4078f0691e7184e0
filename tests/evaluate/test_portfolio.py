"""The book by hand: positions, what they earn, what is traded, and what costs leave."""

import numpy as np

from fusionjax.scores import metrics, portfolio


def two_stocks(horizon: int) -> portfolio.Book:
    up = np.array([0.9, 0.2, 0.9, 0.9, 0.1])  # the second stock has no forecast on the last day
    growth = np.array([0.02, -0.01, 0.01, 0.03, 0.04])
    symbol, day = np.array([0, 1, 0, 1, 0]), np.array([0, 0, 1, 1, 2])
    return portfolio.book(up, growth, symbol, day, 3, horizon)


def test_daily_calls_by_hand() -> None:
    book = two_stocks(1)
    # Day 0: half long the first, half short the second. Day 1: both long. Day 2: short the first.
    np.testing.assert_allclose(book.gross, [0.5 * 0.02 + 0.5 * 0.01, 0.5 * 0.04, -0.04])
    np.testing.assert_allclose(book.turnover, [1.0, 1.0, 2.0])
    np.testing.assert_allclose(book.net(10), book.gross - book.turnover * 0.001)


def test_calls_for_two_sessions_are_held_in_halves() -> None:
    book = two_stocks(2)
    # Half of each day's call, held for two days: day 1 holds half of day 0's and half of day 1's.
    np.testing.assert_allclose(book.gross[0], 0.5 * (0.5 * 0.02 + 0.5 * 0.01))
    np.testing.assert_allclose(book.gross[1], 0.5 * 0.01)  # the second stock's halves cancel
    np.testing.assert_allclose(book.turnover[:2], [0.5, 0.5])


def test_metrics_by_hand() -> None:
    book = portfolio.Book(np.array([0.1, -0.5, 0.2]), np.array([1.0, 0.0, 2.0]))
    got = {k: metrics.point(s, 3) for k, s in portfolio.metrics(book).items()}
    np.testing.assert_allclose(got["turnover"], 1.0)
    np.testing.assert_allclose(got["annual return at 0 bps"], 252 * -0.2 / 3)
    np.testing.assert_allclose(got["max drawdown at 0 bps"], 0.5)
    net = book.gross - np.array([1.0, 0.0, 2.0]) * 20e-4
    np.testing.assert_allclose(got["Sharpe at 20 bps"], np.sqrt(252) * net.mean() / net.std())


def test_without_variation_there_is_no_sharpe_and_without_loss_no_drawdown() -> None:
    book = portfolio.Book(np.full(4, 0.01), np.zeros(4))
    got = {k: metrics.point(s, 4) for k, s in portfolio.metrics(book).items()}
    assert got["Sharpe at 0 bps"] == 0
    assert got["max drawdown at 0 bps"] == 0
