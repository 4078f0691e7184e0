"""How often leaks are found, and how often honest data and forecasts are accused."""

import functools
from collections.abc import Iterator

import numpy as np

from benchmarks.measures import leak_alarm
from benchmarks.measures.leak_worlds import World, market
from benchmarks.measures.planted_leaks import PLANTS
from fusionjax.config import Config, defaults, modality, resolve
from fusionjax.data.audit import fitted, lead, universe
from fusionjax.data.store import Market

_TRAINED = 0.8  # of the sessions
# First seeds. Bounds and rules were set on 0 to 9,999 (leaks planted by 100 to 104) and, after a
# false finding there, on 20,000 to 20,199.
_PLANTED, _HONEST, _SCORED, _KNOWING = 500, 50_000, 30_000, 40_000
_BEFORE = 400  # sessions before those that are scored

# Days and stocks: of whole sets, and of what is scored.
SETS = ((40, 1), (60, 8), (120, 1), (120, 88), (250, 1), (250, 8), (60, 300), (500, 60),
        (750, 20), (800, 40), (1000, 1), (2500, 1))  # fmt: skip
SCORED = ((20, 1), (20, 20), (20, 88), (42, 8), (42, 88), (100, 1), (100, 20), (250, 1), (250, 20),
          (500, 1))  # fmt: skip
_TAILS, _SHARES, _JUMPS = (3.0, 4.0, 8.0), (0.1, 0.3, 0.6), (1.0, 1.0, 1.8, 2.6)
_HONEST_KINDS = tuple(k for k in leak_alarm.FORECASTERS if not k.startswith("knows "))
_cached = functools.lru_cache(4)(market)


def config_of(m: Market) -> Config:
    """A config that uses every channel of a market, and its texts."""
    days = np.unique(m.session)
    end = days[int(len(days) * _TRAINED) - 1]
    c = defaults()
    c.data.splits.train = (str(days[0]), str(end))
    c.data.splits.dev = (str(end + 1), str(days[-1] + 1))
    c.modalities.price = modality("numeric", sessions=8, patch=4, channels=m.channel_names)
    if m.texts is not None:
        c.modalities.text = modality("text", sessions=3)
    return resolve(c)


def findings(m: Market) -> dict[str, str]:
    """What the audit finds of leaks, by code."""
    c = config_of(m)
    every = (*lead.findings(m, c, {}), *universe.findings(m, c), *fitted.findings(m, c))
    return {f.code: f.what for f in every if f.level != "fine"}


def is_found(name: str, seed: int) -> bool:
    """Whether the audit names a planted leak."""
    plant = PLANTS[name]
    said = findings(plant.into(_cached(plant.world, _PLANTED + seed)))
    return plant.named in said.get(plant.code, "")


def accused(seed: int) -> dict[str, str]:
    """The findings in an honest set; sizes, tails, factors and texts change with the seed."""
    days, stocks = SETS[seed % len(SETS)]
    texts = 0.4 if seed % 2 and stocks > 1 else 0.0
    tail, common = _TAILS[seed % 3], _SHARES[seed // 3 % 3]
    return findings(market(World(days, stocks, tail, common, texts=texts), _HONEST + seed))


def alarms(seed: int) -> list[str]:
    """The alarms of an honest forecaster; sizes and kinds change with the seed."""
    days, stocks = SCORED[seed % len(SCORED)]
    kind = _HONEST_KINDS[seed // len(SCORED) % len(_HONEST_KINDS)]
    world = World(
        _BEFORE + days,
        stocks,
        _TAILS[seed % 3],
        _SHARES[seed // 3 % 3],
        death=0.0,
        jump=_JUMPS[seed // 40 % 4],
    )
    return leak_alarm.alarms(world, _SCORED + seed, _heads(), kind, days)


def heard(days: int, stocks: int, kind: str, seeds: int) -> dict[str, int]:
    """In how many markets a forecaster who knows the future is heard, by head and horizon."""
    counts: dict[str, int] = {"any": 0}
    for seed in range(seeds):
        world = World(_BEFORE + days, stocks, death=0.0)
        lines = leak_alarm.alarms(world, _KNOWING + seed, _heads(), kind, days)
        for where in {line.split(", ")[1].partition(" session")[0] for line in lines}:
            counts[where] = counts.get(where, 0) + 1
        counts["any"] += bool(lines)
    return counts


def _heads() -> Config:
    c = defaults()
    c.modalities.price = modality("numeric", sessions=8, patch=4, channels=("ret",))
    c.targets.direction.horizons = (1, 6, 10)
    c.targets.returns.horizons = (1, 5)
    c.targets.volatility.horizons = (1, 5, 20)
    return resolve(c)


def report(seeds: int, sets: int) -> Iterator[str]:
    """Lines of docs/evaluation.md: planted leaks found, honest sets and forecasters accused."""
    for name in PLANTS:
        yield f"{name}: found in {sum(is_found(name, s) for s in range(seeds))} of {seeds}"
    blamed = [f for f in map(accused, range(sets)) if f]
    yield f"honest sets with a finding: {len(blamed)} of {sets} {blamed or ''}"
    for kind in ("knows all", "knows with as much noise", "knows with twice as much noise"):
        for days, stocks in SCORED:
            counts = heard(days, stocks, kind, seeds)
            yield f"{kind}, {days} days of {stocks} stocks: heard, of {seeds}: {counts}"
    heard_of = [lines for lines in map(alarms, range(sets)) if lines]
    yield f"honest forecasters with an alarm: {len(heard_of)} of {sets} {heard_of or ''}"
