"""The run's page: the most confident mistakes, one an episode, with what the model saw."""

import base64
import dataclasses
import io
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped
from markupsafe import Markup

from fusionjax.config import Config
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.errors import require_extra
from fusionjax.modalities.base import Heat, Picture, Pixels
from fusionjax.report import charts

CASES = 20  # of the most confident mistakes
APART = 10  # sessions between the outcomes of two episodes of a stock
_CONTEXT = 60  # sessions of price beside a case
_LETTERS = 280  # of a text


@dataclasses.dataclass(frozen=True)
class Mistakes:
    """Wrong calls of stocks, an entry each.

    Attributes:
      symbol: of the stock.
      start: session of the decision, counted over all stocks.
      target: session of the outcome, likewise: the label covers what lies between.
      order: the worst first.
    """

    symbol: Shaped[np.ndarray, "S"]
    start: Int[np.ndarray, "S"]
    target: Int[np.ndarray, "S"]
    order: Int[np.ndarray, "S"]


def episodes(mistakes: Mistakes, most: int) -> list[Int[np.ndarray, "_"]]:
    """The worst mistakes, each with those of its episode: its own index first.

    Of one episode with a worse mistake are those of the same stock whose labels overlap with its
    label or lie within ``APART`` sessions of it, and those of other stocks on the same days. Each
    is compared with the worst one alone: chains of mistakes would reach through a whole year.

    Args:
      mistakes: of all stocks.
      most: how many episodes to return.
    """
    m, free = mistakes, np.ones(len(mistakes.order), bool)
    found: list[np.ndarray] = []
    for worst in m.order:
        if len(found) == most:
            break
        if not free[worst]:
            continue
        gap = np.maximum(m.start - m.target[worst], m.start[worst] - m.target)
        near = (m.symbol == m.symbol[worst]) & (gap < APART)
        near |= m.target == m.target[worst]
        others = np.flatnonzero(near & free)
        found.append(np.concatenate([[worst], others[others != worst]]))
        free &= ~near
    return found


def cards(rows: pd.DataFrame, market: Market, config: Config, windows: Windows) -> list[Markup]:
    """A card for each episode, the most confident first; empty without a wrong call.

    Args:
      rows: the outcomes.
      market: the data that was scored.
      config: of the run.
      windows: with the run's scaler, for what the model saw.
    """
    heads = config.targets.values()
    found = next(((h, c) for h in heads if (c := h.calls(rows)) is not None), None)
    if found is None or not ((calls := found[1]).right == 0).any():
        return []
    called = rows.assign(confidence=calls.confidence, outcome=calls.outcome, move=calls.move)
    wrong = called[calls.right == 0].reset_index(drop=True)
    at = wrong["row"].to_numpy(np.int64)
    end = np.minimum(at + found[0].horizons[0], market.last_row[at])
    # Of equally confident ones, which a base rate has, the largest move first.
    order = np.lexsort([-wrong["move"], -wrong["confidence"].round(4)])
    mistakes = Mistakes(wrong["symbol"].to_numpy(), market.ordinal[at], market.ordinal[end], order)
    together = episodes(mistakes, CASES)
    at = at[[e[0] for e in together]]
    batch = windows(at, unlabelled(config.targets, len(at)), np.ones(len(at), np.float32))
    shown = Shown(market, config, batch)
    parts = [
        Markup("").join(_card(i, wrong.iloc[episode], shown)) for i, episode in enumerate(together)
    ]
    joined = Markup("").join(Markup("<div class=card>{}</div>").format(p) for p in parts)
    return [Markup("<div class=cards>{}</div>").format(joined)]


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the model saw of the cases: a batch, in their order."""

    market: Market
    config: Config
    batch: Any


def _card(i: int, episode: pd.DataFrame, shown: Shown) -> Iterator[Markup]:
    """The worst case of an episode, the first of its rows, as the parts of a card."""
    case, market, batch = episode.iloc[0], shown.market, shown.batch
    row = int(case["row"])
    yield Markup("<h3>{}, forecast for {}: {}</h3>").format(
        case["symbol"], f"{case['target_day']:%A %Y-%m-%d}", case["outcome"]
    )
    yield Markup("<p class=intro>Decided after the close of {}. {}</p>").format(
        market.session[row], _extent(episode)
    )
    span = np.arange(max(row - _CONTEXT, market.first_row[row]), row + 2)
    days = market.session[span].astype(str).tolist()
    yield charts.lines(
        {"close": (days, market.adj_close[span])}, marks={"decision": days[-2]}, height=220
    )
    weights = ", ".join(
        f"{m} absent" if not batch.present[m][i] else f"{m} {case[f'weight.{m}']:.2f}"
        for m in shown.config.modalities
        if f"weight.{m}" in case
    )
    if weights:
        yield Markup("<p class=intro>Fusion weights: {}</p>").format(weights)
    for name, modality in shown.config.modalities.items():
        if batch.present[name][i]:
            value = jax.tree.map(lambda x: x[i], batch.inputs[name])
            yield _media(modality.picture(value, market, row), name)


def _extent(episode: pd.DataFrame) -> str:
    """How many wrong calls an episode has, and over which days."""
    if len(episode) == 1:
        return "The only wrong call of its episode."
    days, stocks = episode["target_day"], episode["symbol"].nunique()
    count = days.nunique()
    when = (
        f"on {days.min():%Y-%m-%d}"
        if count == 1
        else f"on {count} days from {days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}"
    )
    of = f" of {stocks} stocks" if stocks > 1 else ""
    return f"The surest of {len(episode)} wrong calls{of} in one episode, {when}."


def _media(picture: Picture | None, name: str) -> Markup:
    if picture is None:
        return Markup("")
    if isinstance(picture, Pixels):
        return _image(np.asarray(picture.grey), name)
    if isinstance(picture, Heat):
        return charts.heatmap(picture.values, bar=False, height=180)
    quotes = Markup("").join(
        Markup("<blockquote>{}: {}</blockquote>").format(
            author, text[:_LETTERS] + "…" * (len(text) > _LETTERS)
        )
        for author, text in picture.texts
    )
    more = Markup("<p class=more>and {} older texts</p>").format(picture.more)
    return quotes + (more if picture.more else Markup(""))


def _image(pixels: np.ndarray, name: str) -> Markup:
    require_extra("media", "PIL")
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<p>{0}<br><img alt="{0}" src="data:image/png;base64,{1}"></p>').format(
        name, data
    )
