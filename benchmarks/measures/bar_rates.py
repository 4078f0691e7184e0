"""How often the audit of bars accuses clean sets, and how often it names what is planted."""

import collections
from collections.abc import Iterator

import pandas as pd

from benchmarks.measures import bar_worlds as worlds
from fusionjax.config import Config
from fusionjax.data.audit import bars, prices, sessions, volumes
from fusionjax.data.audit.finding import Finding

_SYMBOLS, _LEAST = 8, 450  # of a set that faults are planted into; bars of a symbol that gets one
_AT = 250
_CLOSES = ("high", "close", "adj_close")
_RATIOS = (
    1.25,
    4 / 3,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    20.0,
    1 / 2,
    1 / 5,
    1 / 12,
    1 / 15,
    1 / 30,
    1 / 35,
)


def of_bars(table: pd.DataFrame, config: Config) -> list[Finding]:
    """The findings on bars, without the search for leaks, which takes longer than the rest."""
    market, tables = worlds.market(table), dict[str, pd.DataFrame]()
    return [
        *sessions.findings(market, config, tables),
        *bars.findings(market, config, tables),
        *prices.findings(market, tables),
        *volumes.findings(market),
    ]


def report(clean: int, planted: int, config: Config) -> Iterator[str]:
    """Lines on ``clean`` sets, and on faults in symbols of ``planted`` sets."""
    splits = dict.fromkeys(config.data.splits, ("2017-07-01", worlds.LAST))
    splits[config.train.split] = (worlds.FIRST, "2017-06-30")
    config = config.override({"data.splits": splits})
    accused = collections.Counter(
        f.code
        for seed in range(clean)
        for f in of_bars(worlds.clean(seed), config)
        if f.level != "fine"
    )
    yield f"{clean} clean sets: {dict(accused) or 'nothing is named'}"
    found: dict[str, collections.Counter[str]] = {}
    for seed in range(planted):
        table = worlds.clean(seed, _SYMBOLS)
        count = table["symbol"].value_counts()
        for symbol in (s for s in table["symbol"].unique()[:-2] if count[s] >= _LEAST):
            for name, code, plant in _faults(symbol, 200 + 10 * seed):
                market = worlds.market(plant(table))
                findings = [*prices.findings(market, {}), *volumes.findings(market)]
                level = next(f.level for f in findings if f.code == code)
                found.setdefault(name, collections.Counter())[level] += 1
    for name, levels in found.items():
        yield f"{name}: {dict(levels)}"


def _faults(symbol: str, at: int) -> Iterator[tuple[str, str, worlds.Plant]]:
    for ratio in _RATIOS:
        name = f"a split of {ratio:.3g} for one"
        yield name, "unit jumps", worlds.split_forgotten(ratio, symbol, at)
    day, two = slice(_AT, _AT + 1), slice(_AT, _AT + 2)
    before, later = slice(None, _AT), slice(_AT, None)
    spin_off = worlds.prices_times(1 / 0.7, before, symbol=symbol)
    yield "a spin-off of 30 %", "unit jumps", spin_off
    yield "a day at a hundredfold", "bad bars", worlds.prices_times(100, day, symbol=symbol)
    yield "two days at 1.5 times", "bad bars", worlds.prices_times(1.5, two, symbol=symbol)
    yield "a close of twice", "bad bars", worlds.prices_times(2, day, _CLOSES, symbol)
    yield "lots", "volume units", worlds.prices_times(0.01, later, ("volume",), symbol)
