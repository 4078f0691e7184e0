"""Portfolios by hand: orders, fills at the next open, what is held, sold, lent and costs."""

import dataclasses

import numpy as np
import pytest
from conftest import tiny_market

from fusionjax.data.store import Market
from fusionjax.heads.trading import Trading
from fusionjax.scores import metrics, portfolio
from fusionjax.scores.portfolio import Book, Prices

NAN = np.nan


def prices(opened: list, closed: list, nights: list | None = None) -> Prices:
    o, c = np.array(opened, float), np.array(closed, float)
    days = np.array(nights if nights else [0, *[1] * (len(o) - 1)], float)
    return Prices(o, c, days, np.zeros(o.shape))


# One stock: opens 10, 12, 15; closes 11, 12, 18.
ONE = prices([[10], [12], [15]], [[11], [12], [18]])


def test_an_order_is_filled_at_the_open_and_held_to_the_open_after() -> None:
    book = portfolio.simulate(np.array([[1.0], [0], [0]]), ONE, 1)
    # Bought at 10, worth 11 at the close; sold at 12.
    np.testing.assert_allclose(book.gross, [0.1, 12 / 11 - 1, 0])
    np.testing.assert_allclose(book.turnover, [1, 12 / 11, 0])
    np.testing.assert_allclose(np.prod(1 + book.gross), 12 / 10)


def test_what_stays_is_not_traded_and_the_last_close_sells() -> None:
    book = portfolio.simulate(np.ones((3, 1)), ONE, 1)
    np.testing.assert_allclose(book.turnover, [1, 0, 18 / 12], atol=1e-12)
    np.testing.assert_allclose(np.prod(1 + book.gross), 18 / 10)
    np.testing.assert_allclose(book.net(10, 0.0), book.gross - book.turnover * 1e-3)


def test_a_short_gains_what_the_price_loses_and_pays_for_its_nights() -> None:
    at = prices([[10], [8]], [[9], [8]], [0, 3])  # over a weekend
    book = portfolio.simulate(np.array([[-1.0], [0]]), at, 1)
    np.testing.assert_allclose(book.gross, [0.1, 0.1 / 1.1])  # ten per cent, twice of the first
    # Nine tenths of 1.1 are lent at the close, for three days.
    np.testing.assert_allclose(book.lent, [0, 0.9 / 1.1 * 3 / 365])
    np.testing.assert_allclose(book.net(0, 0.05), book.gross - book.lent * 0.05)


def test_sub_portfolios_overlap() -> None:
    target = np.array([[1.0], [-1], [0], [0]])
    at = prices([[10], [10], [20], [20]], [[10], [10], [20], [20]])
    book = portfolio.simulate(target, at, 2)
    # Half long on day 0, half short on day 1: together nothing. The long half ends on day 2, which
    # opens at twice the price for both; the short half ends on day 3.
    np.testing.assert_allclose(book.gross, [0, 0, 0, 0])
    np.testing.assert_allclose(book.turnover, [0.5, 0.5, 1.0, 1.0])


def test_without_a_bar_nothing_is_bought_and_what_is_due_waits_for_the_next_open() -> None:
    opened, closed = [[10.0], [NAN], [NAN], [5], [6]], [[10.0], [NAN], [NAN], [6], [6]]
    halted = prices(opened, closed)
    late = portfolio.simulate(np.array([[1.0], [0], [0], [0], [0]]), halted, 1)
    np.testing.assert_allclose(late.gross, [0, 0, 0, -0.5, 0])  # due on day 1, sold at 5 on day 3
    np.testing.assert_allclose(late.turnover, [1, 0, 0, 0.5, 0])
    never = portfolio.simulate(np.array([[0.0], [1], [0], [0], [0]]), halted, 1)
    assert not never.turnover.any()
    assert late.unsold == 0


def test_a_delisted_stock_counts_at_its_last_price_and_is_told() -> None:
    gone = prices(
        [[10, 10], [8, 10], [NAN, 10], [NAN, 10]], [[9, 10], [8, 10], [NAN, 10], [NAN, 10]]
    )
    target = np.array([[0.5, 0.5], [0.5, 0.5], [0, 0.5], [0, 0.5]])
    book = portfolio.simulate(target, gone, 1)
    np.testing.assert_allclose(
        np.prod(1 + book.gross), 0.9
    )  # 8/10 of a half; nothing is known after
    assert book.unsold == 1
    assert book.turnover[2] < 0.1, "it cannot be sold"


@pytest.mark.parametrize("opens_at", [10.0, 25.0])
def test_a_ruined_book_stops(opens_at: float) -> None:
    """The short has lost more than all at the open, or by the close."""
    at = prices([[10], [opens_at], [25]], [[10], [25], [30]])
    book = portfolio.simulate(np.array([[-1.0], [-1], [-1]]), at, 1)
    np.testing.assert_allclose(book.gross, [0, -1, 0])
    assert np.isfinite(book.net(20, 0.1)).all()


def test_weights_of_calls_and_of_top_less_bottom() -> None:
    up, group = np.array([0.9, 0.2, 0.6, 0.5, 0.7, 0.4, 0.8]), np.array([0, 0, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(portfolio.calls(up, group), [0.2, -0.2, 0.2, -0.2, 0.2, -0.5, 0.5])
    np.testing.assert_allclose(
        portfolio.top_bottom(up, group, 0.4), [0.25, -0.25, 0, -0.25, 0.25, -0.5, 0.5]
    )
    tied = np.array([0.5, 0.5, 0.5, 0.9])
    np.testing.assert_allclose(
        portfolio.top_bottom(tied, np.zeros(4, int), 0.25), [-1 / 6, -1 / 6, -1 / 6, 0.5]
    )
    assert not portfolio.top_bottom(np.full(6, 0.5), np.zeros(6, int), 0.3).any()
    assert not portfolio.top_bottom(np.array([0.7]), np.zeros(1, int), 0.3).any()


def test_metrics_by_hand() -> None:
    lent = np.array([0.0, 0.01, 0.0])
    book = Book(
        np.array([0.1, -0.5, 0.2]), np.array([1.0, 0.0, 2.0]), lent, np.array([0, 0.3, 0.3])
    )
    got = {k: metrics.point(s, 3) for k, s in portfolio.metrics(book, 0.5).items()}
    np.testing.assert_allclose(got["turnover"], 1.0)
    np.testing.assert_allclose(got["size exposure"], 0.2)
    np.testing.assert_allclose(got["annual return at 0 bps"], 252 * -0.205 / 3)
    np.testing.assert_allclose(got["max drawdown at 0 bps"], 0.505)
    net = book.gross - np.array([1.0, 0.0, 2.0]) * 20e-4 - lent * 0.5
    np.testing.assert_allclose(got["Sharpe at 20 bps"], np.sqrt(252) * net.mean() / net.std())


def test_beta_is_the_slope_on_the_market() -> None:
    rng = np.random.default_rng(0)
    market, returns = rng.normal(size=(2, 50))
    expected = np.polyfit(market, 2 * market + returns, 1)[0]
    np.testing.assert_allclose(
        metrics.point(portfolio.beta(2 * market + returns, market), 50), expected
    )
    assert metrics.point(portfolio.beta(returns, np.zeros(50)), 50) == 0


def test_without_variation_there_is_no_sharpe_and_without_loss_no_drawdown() -> None:
    book = Book(np.full(4, 0.01), *np.zeros((3, 4)))
    got = {k: metrics.point(s, 4) for k, s in portfolio.metrics(book, 0.0).items()}
    assert got["Sharpe at 0 bps"] == 0
    assert got["max drawdown at 0 bps"] == 0


@pytest.fixture
def market() -> Market:
    """Two stocks of 30 sessions whose prices stand at 100."""
    m = tiny_market(days=30, symbols=("AA", "BB"))
    ohlcv = np.tile(np.float32([100, 101, 99, 100, 1000]), (len(m.session), 1))
    return dataclasses.replace(m, ohlcv=ohlcv, adj_close=np.full(len(m.session), 100.0))


def changed(m: Market, row: int, opened: float, closed: float, factor: float = 1.0) -> Market:
    """A market one of whose rows trades at other prices; ``factor`` adjusts its close."""
    ohlcv, adjusted = m.ohlcv.copy(), m.adj_close.copy()
    ohlcv[row, [0, 3]], adjusted[row] = (opened, closed), closed * factor
    return dataclasses.replace(m, ohlcv=ohlcv, adj_close=adjusted)


def without(m: Market, rows: list[int]) -> Market:
    """A market without some bars."""
    keep = np.setdiff1d(np.arange(len(m.session)), rows)
    first = np.searchsorted(m.symbol[keep], m.symbol[keep], side="left")
    names = ("symbol", "session", "decision_time", "ohlcv", "adj_close", "subset", "channels")
    return dataclasses.replace(
        m, **{n: getattr(m, n)[keep] for n in names}, first_row=first, texts=None, media={}
    )


def trading(m: Market, rows: list[int], days: int = 4) -> Trading:
    """The first stock's decisions from row 10 on."""
    at = np.arange(10, 10 + days)
    row = np.sort(np.concatenate([at, np.array(rows, int)]))
    return Trading(m, row, m.session[row + 1], 1)


def test_what_the_price_does_before_the_next_open_is_not_earned(market: Market) -> None:
    # Decided after the close of row 10; row 11 opens at 150 and stays there.
    m = changed(market, 11, 150.0, 150.0)
    m = dataclasses.replace(m, adj_close=np.where(np.arange(60) == 11, 150.0, m.adj_close))
    book = trading(m, []).calls(np.array([1.0, 1.0, 0.0, 0.0]))
    assert book.gross[0] == 0, "the gap is gone when the order is filled"
    np.testing.assert_allclose(book.gross[1], 100 / 150 - 1)
    at_the_close = m.adj_close[11] / m.adj_close[10] - 1
    assert at_the_close == 0.5, "which a fill at the decision's close had earned"


def test_a_split_is_no_return(market: Market) -> None:
    m = market
    for row in range(12, 30):  # ten for one: prices as traded fall to a tenth, adjusted ones stand
        m = changed(m, row, 10.0, 10.0, factor=10.0)
    np.testing.assert_array_equal(m.adj_close[:30], 100.0)
    book = trading(m, []).calls(np.ones(4))
    np.testing.assert_allclose(book.gross, 0, atol=1e-7)
    np.testing.assert_allclose(book.turnover, [1, 0, 0, 1], atol=1e-6)


def test_an_order_for_a_session_without_a_bar_fails(market: Market) -> None:
    """The second stock keeps the calendar; the first misses a session and reopens at twice."""
    m = changed(market, 13, 200.0, 200.0)
    m = without(m, [12])  # row 12 is now what was row 13
    row = np.array([10, 11, 12, 39, 40, 41, 42])  # of both: decisions on sessions 10 to 13
    t = Trading(m, row, m.session[row + 1], 1)
    up = np.ones(7)
    failed = t.calls(up, np.arange(7) == 1)
    # Session 12 has no open for the first stock: it is not bought there, nor when it reopens.
    assert not failed.turnover.any()
    assert not failed.gross.any()
    held = t.calls(up, np.arange(7) == 0)
    np.testing.assert_allclose(held.gross, [0, 0, 1, 0])  # bought on session 11, sold on 13 at 200
    np.testing.assert_allclose(held.turnover, [1, 0, 2, 0])


def test_days_that_a_file_has_in_milliseconds_are_days(market: Market) -> None:
    """As outcomes_*.parquet is read: shorts are borrowed for nights, not for 86,400,000 of them."""
    row = np.arange(10, 14)
    days = market.session[row + 1]
    here, read = (
        Trading(market, row, of, 1).calls(np.zeros(4)) for of in (days, days.astype("<M8[ms]"))
    )
    np.testing.assert_array_equal(read.lent, here.lent)
    assert 0 < here.lent.max() < 5 / 365


def test_size_is_by_dollar_volume_of_before(market: Market) -> None:
    ohlcv = market.ohlcv.copy()
    ohlcv[30:, 4] = 5000
    big = dataclasses.replace(market, ohlcv=ohlcv)
    row = np.array([10, 11, 40, 41])
    t = Trading(big, row, big.session[row + 1], 1)
    book = t.calls(np.array([0.0, 0.0, 1.0, 1.0]))
    np.testing.assert_allclose(book.size, [0.5, 0.5], rtol=1e-6)  # half long 0.5, half short -0.5
    np.testing.assert_allclose(t.market().size, [0, 0], atol=1e-12)
    assert not t.ranked
    assert "Sharpe at 10 bps" in t.metrics(np.ones(4), np.ones(4, bool), 0.1, 0.0)


def test_many_stocks_are_ranked() -> None:
    m = tiny_market(days=30, symbols=tuple(f"S{i}" for i in range(10)))
    level = 100 * np.exp(0.01 * np.random.default_rng(0).normal(size=(len(m.session), 2)))
    ohlcv = m.ohlcv.copy()
    ohlcv[:, [0, 3]] = level
    m = dataclasses.replace(m, ohlcv=ohlcv, adj_close=level[:, 1])
    row = np.concatenate([np.arange(20, 28) + 30 * s for s in range(10)])
    t = Trading(m, row, m.session[row + 1], 1)
    known = level[row + 2, 0] / level[row + 1, 0]  # from the open that fills to the next one
    got = t.metrics(known, np.ones(len(row), bool), 0.2, 0.0)
    value = {k: metrics.point(s, len(t.days)) for k, s in got.items()}
    assert value["Sharpe of top less bottom at 0 bps"] > 0
    assert value["annual return of top over market at 0 bps"] > 0
    assert abs(value["beta of top less bottom"]) < abs(value["beta"]) + 1
    assert (
        value["annual return of top less bottom at 20 bps"]
        < value["annual return of top less bottom at 0 bps"]
    )
