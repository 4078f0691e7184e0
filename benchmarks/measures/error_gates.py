"""How often the promotion gate, placebos and the distance of inputs are wrong."""

import dataclasses

import numpy as np

from benchmarks.measures.error_worlds import Panel, World, autoregression, panels
from fusionjax.adapt import promotion, shift
from fusionjax.evaluate import ablation, losses
from fusionjax.scores import intervals

MARGIN = 0.02  # of the gate, as ``finetune.promotion_margin``
_TURN = 0.3  # angle between an update's own errors and its parent's: the correlation is its cosine
_TRAINED, _TRIED = 250, 20  # days to learn from, and placebos
_WINDOWS, _DAYS, _WIDTH = 8, 60, 8  # stretches of inputs, sessions of each, values of a session


@dataclasses.dataclass(frozen=True)
class Rate:
    """The share of worlds in which something is said."""

    what: str
    kind: str  # of worlds
    nominal: str
    share: float


def gate(world: World, count: int, seed: int) -> list[Rate]:
    """Updates that are worse by the margin, equal, or better by twice the margin."""
    made: dict[float, list[bool]] = {MARGIN: [], 0.0: [], -2 * MARGIN: []}
    for panel in panels(world, count, seed):
        spread = panel.miss.var()
        miss = panel.miss - panel.miss.mean()
        own = (panel.error[0].astype(float) ** 2).reshape(len(miss), -1).mean(1)
        for i in range(len(miss)):
            parent = panel.error[0][i]
            turned = np.cos(_TURN) * parent + np.sin(_TURN) * panel.error[1][i]
            size = own[i % 2 :: 2].mean()  # over the worlds with as large errors
            for worse, promoted in made.items():
                scale = np.sqrt(max((worse * (spread + size) + size) / size, 0))
                promoted.append(_promoted(miss[i], parent, scale * turned, world.horizon))
    kind = f"{world.days} days, horizon {world.horizon}, AR {world.persistence}"
    rates = {worse: float(np.mean(promoted)) for worse, promoted in made.items()}
    return [
        Rate(f"promotes an update worse by {MARGIN:.0%}", kind, "2.5 %", rates[MARGIN]),
        Rate("does not promote an equal one", kind, "", 1 - rates[0.0]),
        Rate(f"does not promote one better by {2 * MARGIN:.0%}", kind, "", 1 - rates[-2 * MARGIN]),
    ]


def _promoted(miss: np.ndarray, parent: np.ndarray, update: np.ndarray, horizon: int) -> bool:
    before, after = (((miss - own) ** 2).astype(float).ravel() for own in (parent, update))
    day = np.tile(np.arange(miss.shape[1]), len(miss))
    rise = promotion.relative_rise(before, after, day, horizon)
    return promotion.judge({"squared error": rise}, MARGIN, 0)[0]


def placebos(shared: str, days: int, count: int, seed: int, whole: bool) -> list[Rate]:
    """A modality of noise beside its placebos: a linear model learns labels from it.

    Args:
      shared: who has the same noise: "day", all stocks of a day; "stock", all days of a stock;
        "sample", nobody.
      days: scored.
      count: of worlds.
      seed: of the worlds.
      whole: placebos are made as ``ablation.moved`` makes them, not by shuffling all samples.
    """
    rng = np.random.default_rng([seed, days])
    gain, first = [], 0
    for panel in panels(World(_TRAINED + days, persistence=0.9), count, seed):
        for i in range(len(panel.returns)):
            estimate, rank = _placebo_world(panel, i, shared, whole, rng)
            gain.append(estimate.interval())
            first += rank == 0
    low, high = np.array(gain).T
    how = "moved as a whole" if whole else "shuffled across samples"
    kind = f"noise shared by a {shared}, {days} days, placebos {how}"
    return [
        Rate("no placebo is as good", kind, "4.8 %", first / count),
        Rate("used", kind, "2.5 %", float((low > 0).mean())),
        Rate("harms", kind, "2.5 %", float((high < 0).mean())),
    ]


def _placebo_world(
    panel: Panel, i: int, shared: str, whole: bool, rng: np.random.Generator
) -> tuple[intervals.Estimate, float]:
    """The gain over placebos in one world, and the share of them that are as good."""
    stocks, days = panel.returns[i].shape
    noise = np.stack([autoregression(rng, 0.9, (stocks, days)) for _ in range(4)], -1)
    if shared == "day":
        noise[:] = noise[:1]
    if shared == "stock":
        noise[:] = noise[:, :1]
    x, y = noise.reshape(-1, 4), panel.miss[i].ravel().astype(float)
    day, symbol = np.tile(np.arange(days), stocks), np.repeat(np.arange(stocks), days)
    parts = [np.flatnonzero(day < _TRAINED), np.flatnonzero(day >= _TRAINED)]

    def loss(content: np.ndarray) -> np.ndarray:
        shown = np.column_stack([x[content], np.ones(len(x))])
        weight = np.linalg.lstsq(shown[parts[0]], y[parts[0]], rcond=None)[0]
        return (y[parts[1]] - shown[parts[1]] @ weight) ** 2

    def placebo() -> np.ndarray:
        content = np.arange(len(x))
        for rows in parts:
            order = ablation.moved(symbol[rows], day[rows], rng)
            content[rows] = rows[order if whole else rng.permutation(len(rows))]
        return content

    real, others = loss(np.arange(len(x))), [loss(placebo()) for _ in range(_TRIED)]
    estimate = losses.rise_of(others, [real], day[parts[1]] - _TRAINED, 1, one_draw=True)
    return estimate, float(np.mean([o.mean() <= real.mean() for o in others]))


def distances(persistence: float, count: int, seed: int) -> Rate:
    """Inputs that did not move are farther away than every stretch of the reference."""
    rng = np.random.default_rng(seed)
    stretch, farthest = np.repeat(np.arange(_WINDOWS), _DAYS), 0
    for _ in range(count):
        x = autoregression(rng, persistence, (_WIDTH, (_WINDOWS + 1) * _DAYS)).T.astype(float)
        _, nearer, of = shift.embedding_shift(x[: len(stretch)], x[len(stretch) :], stretch)
        farthest += nearer == of
    nominal = f"{100 / (_WINDOWS + 1):.1f} %"
    return Rate("farther than every stretch", f"AR {persistence}", nominal, farthest / count)
