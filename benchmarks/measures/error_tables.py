"""How often the printed tables are wrong: whole worlds through ``scoring.table``."""

import numpy as np

from benchmarks.measures.error_rates import OURS, Cell
from benchmarks.measures.error_worlds import Panel, World, own_size, panels
from fusionjax.config import Config, resolve
from fusionjax.configs import demo
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.evaluate import scoring
from fusionjax.evaluate.scoring import TargetTable
from fusionjax.scores import intervals

_BEFORE = 30  # sessions before the scored ones
_UNIT = 0.01  # of a return
_CHANNELS = ("ret", "vol20")
_Z = {0.05: -1.645, 0.25: -0.674, 0.5: 0.0, 0.75: 0.674, 0.95: 1.645}
# What a forecast without skill scores; of other metrics, the mean over worlds.
_TRUTH = {
    **dict.fromkeys(("accuracy", "balanced accuracy", "AUC"), 0.5),
    **dict.fromkeys(("MCC", "IC", "RankIC", "ICIR"), 0.0),
    **dict.fromkeys(("annual return at 0 bps", "Sharpe at 0 bps"), 0.0),
}


def measure(world: World, count: int, seed: int) -> list[Cell]:
    """Every interval and verdict of the tables of two forecasters without skill."""
    config = resolve(demo.get_config()).override(
        {f"targets.{h}.horizons": (world.horizon,) for h in ("direction", "returns", "volatility")}
    )
    made = [
        table
        for panel in panels(world, count, seed)
        for i in range(len(panel.returns))
        for table in _tables(panel, i, config)
    ]
    cells = []
    for target in dict.fromkeys(t.target for t in made):
        tables = [t for t in made if t.target == target]
        verdicts = [t.rows[1].verdict for t in tables]
        said = not verdicts[0].startswith(intervals.NOT_ENOUGH)
        wrong = np.mean([v in ("better", "worse") for v in verdicts]) if said else np.nan
        name = f"table: {target}, verdict"
        cells.append(Cell(name, OURS, world, float(wrong), np.nan))
        cells += [_interval(tables, metric, world) for metric in tables[0].rows[0].values]
    return cells


def _interval(tables: list[TargetTable], metric: str, world: World) -> Cell:
    value = np.array([t.rows[0].values[metric] for t in tables])
    low, high = np.array([t.rows[0].spread[metric] for t in tables]).T
    truth = np.full(len(value), _TRUTH.get(metric, np.nan))
    if metric not in _TRUTH:
        sizes = own_size(np.arange(len(value)))
        for size in np.unique(sizes):
            truth[sizes == size] = np.nanmean(value[sizes == size])
    said = np.isfinite(low) & np.isfinite(value)
    wrong = float(((low > truth) | (high < truth))[said].mean()) if said.any() else np.nan
    return Cell(f"table: {tables[0].target}, {metric}", OURS, world, wrong, np.nan)


def _tables(panel: Panel, i: int, config: Config) -> list[TargetTable]:
    """The three heads' tables of world ``i``: the first forecaster against the second."""
    market = _market(panel.returns[i] * _UNIT)
    days = np.unique(market.session)
    scored = samples.between(market, config, days[_BEFORE], days[-1])
    up = [_in_order(p[i], scored, market, 0.5) for p in panel.up]
    known = np.log(panel.volatility[i][:, : panel.world.days] * _UNIT)
    centre = panel.miss.mean()  # both forecasters of volatility are right on average
    spread = [known + 0.6 * e[i] + 0.5 * np.log(panel.world.horizon) for e in panel.error]
    z = np.array([_Z[q] for q in config.targets["returns"].quantiles])
    forecasts = {
        "direction": up,
        "volatility": [_in_order(known + centre + e[i], scored, market, 0.0) for e in panel.error],
        "returns": [np.exp(_in_order(s, scored, market, 0.0))[:, None] * z for s in spread],
    }
    return [
        scoring.table(
            task, {"one": [forecasts[name][0]]}, {"other": forecasts[name][1]},
            scored, market, config,
        )
        for name, task in scoring.tasks(scored, market, config).items()
    ]  # fmt: skip


def _in_order(
    value: np.ndarray, scored: samples.Samples, market: Market, otherwise: float
) -> np.ndarray:
    """Values [stocks, days] in the order of the samples."""
    stock = market.symbol[scored.row]
    day = scored.row - market.first_row[scored.row] - (_BEFORE - 1)
    inside = day < value.shape[1]
    return np.where(inside, value[stock, np.where(inside, day, 0)], otherwise).astype(float)


def _market(returns: np.ndarray) -> Market:
    """Bars of stocks with these returns of the scored sessions, after some of plain noise."""
    stocks = len(returns)
    noise = np.random.default_rng(0).normal(0, _UNIT, (stocks, _BEFORE))
    whole = np.concatenate([noise, np.clip(returns, -1, 1)], 1).astype(float)
    sessions = whole.shape[1]
    price = np.exp(whole.cumsum(1)).ravel()
    session = np.tile(np.datetime64("2000-01-03") + np.arange(sessions), stocks)
    rows = stocks * sessions
    return Market(
        "0" * 64,
        tuple(f"S{i}" for i in range(stocks)),
        _CHANNELS,
        np.repeat(np.arange(stocks, dtype=np.int32), sessions),
        session,
        session.astype("datetime64[s]").astype(np.int64) + 22 * 3600,
        np.stack([price] * 4 + [np.ones(rows)], 1).astype(np.float32),
        price,
        np.ones(rows, bool),
        np.zeros((rows, len(_CHANNELS)), np.float32),
        np.arange(rows) // sessions * sessions,
        None,
    )
