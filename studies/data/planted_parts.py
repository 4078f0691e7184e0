"""A planted market of which each channel's, day's, document's and candle's worth is known.

The next return's sign follows log odds that are a sum: channel ``tell_0`` of the newest session and
``tell_1`` of three before, the tone of each text that is about the company (others have a tone
too), and the last candle's colour. ``still_0``, ``still_1`` and all of the modality ``noise`` are
noise.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from fusionjax.data.store import Market, Texts
from studies.names import PARTS_CHANNELS as CHANNELS
from studies.names import PARTS_SESSIONS as SESSIONS

_LAG = 3  # sessions
_TELL, _TONE, _CANDLE = (1.0, -1.0), 1.2, 0.8  # of the log odds
_ABOUT = 0.35  # share of texts that are about the company
_TEXTS, _WIDTH = 6, 8  # a session, at most; of an embedding


@dataclasses.dataclass(frozen=True)
class PlantedParts:
    """A market with its truth.

    Attributes:
      market: the data.
      about: of each text, whether it is about the company.
    """

    market: Market
    about: Float[np.ndarray, "K"]

    def tells(self, source: str, kind: str, row: int) -> list[bool]:
        """Which parts of a row add to its log odds, in the order of the modality's own."""
        if kind == "whole":
            return [source != "noise"]
        if kind == "document":
            texts = self.market.texts
            assert texts is not None
            return [bool(x) for x in self.about[texts.bar == row]]
        newest, lagged = SESSIONS - 1, SESSIONS - 1 - _LAG
        told: dict[tuple[str, str], set[int]] = {
            ("price", "channel"): {0, 1},
            ("price", "session"): {newest, lagged},
            ("chart", "session"): {newest},
            ("chart", "patch"): {3},  # the last sessions, above: below are volumes and lows
        }
        count = {"channel": 2 if source == "noise" else 4, "patch": 8}.get(kind, SESSIONS)
        return [i in told.get((source, kind), set()) for i in range(count)]


def plant(
    seed: int, *, days: int = 700, symbols: tuple[str, ...] = tuple("ABCDEFGH")
) -> PlantedParts:
    """Draws a market of consecutive days from 2020 on; see the module."""
    rng = np.random.default_rng([seed, 23])
    shape = len(symbols), days
    value = rng.normal(size=(*shape, len(CHANNELS))).astype(np.float32)
    column = {name: value[..., i].astype(float) for i, name in enumerate(CHANNELS)}
    count = rng.integers(0, _TEXTS + 1, days * len(symbols))
    bar = np.repeat(np.arange(len(count)), count)
    about, tone = rng.random(len(bar)) < _ABOUT, rng.choice([-1.0, 1.0], len(bar))
    news = np.bincount(bar, about * tone, len(count)).reshape(shape)
    odds = _TELL[0] * column["tell_0"] + _TONE * news
    odds[:, _LAG:] += _TELL[1] * column["tell_1"][:, :-_LAG]
    chance, size = rng.random(shape), 0.01 * (0.5 + rng.random(shape))
    move = np.zeros(shape)
    for day in range(days - 1):  # a day's candle is of its own return
        told = odds[:, day] + _CANDLE * np.sign(move[:, day])
        up = chance[:, day] < 1 / (1 + np.exp(-told))
        move[:, day + 1] = np.where(up, 1, -1) * size[:, day]
    value[..., 0], value[..., 1] = move, np.log(0.01)
    texts = {"bar": bar, "about": about, "tone": tone}
    return PlantedParts(_market(symbols, move, value, texts, rng), about.astype(float))


def _market(
    symbols: tuple[str, ...],
    move: Float[np.ndarray, "N T"],
    value: Float[np.ndarray, "N T F"],
    texts: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> Market:
    count, days = move.shape
    session = np.tile(np.datetime64("2020-01-01", "D") + np.arange(days), count)
    decision = session.astype("datetime64[s]").astype(np.int64) + 22 * 3600
    close = np.exp(move.cumsum(1)).ravel()
    opened = close / np.exp(move.ravel())
    ends = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close])
    volume = 1e6 * (1 + rng.random(len(close)))
    bar, words = texts["bar"], len(texts["bar"])
    embedding = rng.normal(size=(words, _WIDTH))
    embedding[:, 0] = np.where(texts["about"], 2.0, -2.0)
    tone = texts["tone"]
    return Market(
        f"{'planted parts':>64}",
        symbols,
        CHANNELS,
        np.repeat(np.arange(count, dtype=np.int32), days),
        session,
        decision,
        np.stack([*ends, volume], 1).astype(np.float32),
        close,
        np.ones(len(close), bool),
        value.reshape(-1, value.shape[-1]),
        np.repeat(np.arange(count) * days, days).astype(np.int64),
        Texts(
            bar=bar,
            event_time=decision[bar] - 7200,
            available_time=decision[bar] - 3600,
            author=np.zeros(words, np.int32),
            names={0: "planted"},
            embedding=embedding.astype(np.float16),
            lexicon=np.stack([tone, rng.normal(size=words)], 1).astype(np.float32),
            tokens=np.zeros((words, 1), np.uint16),
            pieces=np.ones((words, 2), np.int32),
            record=np.arange(words),
            records=None,
        ),
    )
