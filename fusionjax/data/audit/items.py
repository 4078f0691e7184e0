"""Audit of texts and media: coverage, duplicates, staleness, sources and time order."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fusionjax.config import Config
from fusionjax.data import text
from fusionjax.data.audit.finding import STOP, WATCH, Finding, judged, listed
from fusionjax.data.balance import weights
from fusionjax.data.media import folders
from fusionjax.data.store import Market, Media, Texts

_ALIKE = 0.95  # cosine of two texts that say the same
_BEFORE = 1024  # earlier texts of the symbol that each is compared with, so that cost is linear
_PAGE = 256
_WAITING = 5 * 86_400  # seconds from available to the first decision; a long weekend has four days
_LATE = 30 * 86_400  # seconds from event to available
_UNREADABLE = 0.05  # share of texts
_DUPLICATES, _LEAKED, _STALE, _ONE_SOURCE = 0.3, 0.05, 0.05, 0.2


def findings(market: Market, config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Yields the findings on texts and media; adds tables."""
    coverage = {"bars": _by_year(market, np.arange(len(market.session)))}
    for kind, items in market.items.items():
        coverage[kind] = _by_year(market, np.unique(items.bar))
        yield _in_time(kind, items, market)
        yield _coverage(kind, items, market, config, tables)
        yield _duplicates(kind, items, market, config)
        yield _stale(kind, items, market)
        yield _sources(kind, items, tables)
    if market.texts is not None:
        yield from _readable(market.texts)
    table = pd.DataFrame(coverage).fillna(0).astype(int)
    tables["bars of each year, and how many have an item of their own"] = table
    yield judged(
        "pairs",
        WATCH if market.misaligned else None,
        listed(
            f"{len(market.misaligned)} events have more items in one table than in another",
            market.misaligned,
            between="; ",
        ),
        "items that should pair up cannot be paired by position; mend the table or drop the event",
    )
    yield judged(
        "late events",
        WATCH if market.late_events else None,
        listed(
            "events that were known only when they were due or later",
            market.late_events,
            between="; ",
        ),
        "no forecast could count the sessions until them; give known_time as of the announcement",
    )
    file_kinds = folders()
    unusable = [n for n in market.notes if n.split(" ")[0] in file_kinds]
    yield judged(
        "set aside",
        WATCH if unusable else None,
        listed(f"{len(unusable)} files could not be used", unusable, between="; "),
        "replace them and prepare again",
    )


def _readable(texts: Texts) -> Iterator[Finding]:
    """Whether the encoder knows the words of texts, and reads the whole of them."""
    pieces, foreign = texts.pieces.T.astype(float)
    share = float((foreign > pieces / 2).mean())
    yield judged(
        "text language",
        WATCH if share > _UNREADABLE else None,
        f"{share:.1%} of the texts are mostly single letters or unknown words to {text.ENCODER}",
        "it reads English: translate them, or leave them out",
    )
    long = float((pieces > text.EMBEDDED).mean())
    beyond = 1 - np.minimum(pieces, text.EMBEDDED).sum() / max(pieces.sum(), 1)
    yield judged(
        "text length",
        WATCH if long > _UNREADABLE else None,
        f"{long:.1%} of the texts are longer than what is embedded of one ({text.EMBEDDED:,} word "
        f"pieces, evenly spread), which leaves out {beyond:.1%} of all",
        "cut them into the parts that matter, each a text of its own",
    )


def _by_year(market: Market, rows: np.ndarray) -> pd.Series:
    years = market.session[rows].astype("datetime64[Y]").astype(str)
    return pd.Series(years).value_counts().sort_index()


def _in_time(kind: str, items: Texts | Media, market: Market) -> Finding:
    early = items.available_time > market.decision_time[items.bar]
    previous = np.maximum(items.bar - 1, 0)
    same_symbol = market.symbol[previous] == market.symbol[items.bar]
    late = same_symbol & (items.bar > 0) & (items.available_time <= market.decision_time[previous])
    what = f"{int(early.sum())} items of {kind} are used by a decision that comes before them"
    if late.any():
        what += f", {int(late.sum())} later than possible"
    return judged(
        f"{kind} from the future",
        STOP if early.any() else WATCH if late.any() else None,
        what,
        "their clock or their join is wrong: nothing trained on this can be trusted",
    )


def _coverage(
    kind: str,
    items: Texts | Media,
    market: Market,
    config: Config,
    tables: dict[str, pd.DataFrame],
) -> Finding:
    has = np.zeros(len(market.session), bool)
    has[items.bar] = True
    by_bar = pd.DataFrame({"symbol": market.symbol, "has": has})
    share = by_bar.groupby("symbol")["has"].mean()
    count = np.bincount(market.symbol[items.bar], minlength=len(market.symbols))
    table = pd.DataFrame(
        {"items": count, "share of sessions": share.to_numpy().round(4)},
        index=pd.Index(market.symbols, name="symbol"),
    )
    tables[f"{kind} by symbol, rarest first"] = table.sort_values("share of sessions")
    by_split = {}
    for name, (first, last) in config.data.splits.items():
        inside = (market.session >= np.datetime64(first)) & (market.session <= np.datetime64(last))
        if inside.any():
            by_split[name] = float(has[inside].mean())
    trained = by_split.get(config.train.split, 0.0)
    odd = [n for n, s in by_split.items() if s < trained / 2 or s > 2 * trained]
    without = int((count == 0).sum())
    shares = ", ".join(f"{s:.0%} in {n}" for n, s in by_split.items())
    return judged(
        f"{kind} coverage",
        WATCH if odd or without else None,
        f"sessions with an item of {kind}: {shares}; {without} of {len(table)} symbols have none",
        "a modality that is rarer or more common later was learned under other conditions",
    )


def _duplicates(kind: str, items: Texts | Media, market: Market, config: Config) -> Finding:
    if isinstance(items, Texts):
        packed = np.ascontiguousarray(items.embedding)
        key = packed.view(np.dtype((np.void, packed.shape[1] * packed.itemsize))).ravel()
        group = np.unique(key, return_inverse=True)[1]
        near = _near(items, market.symbol[items.bar])
    else:
        group = np.unique(items.decoded, return_inverse=True)[1]
        near = None
    symbol = market.symbol[items.bar]
    repeated = pd.DataFrame({"group": group, "symbol": symbol}).duplicated().to_numpy()
    end = np.datetime64(config.data.splits[config.train.split][1], "D")
    later = market.session[items.bar] > end
    leaked = later & np.isin(group, np.unique(group[~later])) & repeated
    share = float(repeated.mean())
    crossing = float(leaked.sum() / max(later.sum(), 1))
    what = (
        f"{share:.1%} of the items of {kind} repeat one of their symbol exactly, "
        f"{crossing:.1%} of those after training one from it"
    )
    if near is not None:
        has_twin = near >= 0
        crossed = later & has_twin & ~later[np.maximum(near, 0)]
        what += (
            f"; {float(has_twin.mean()):.1%} say nearly the same (cosine ≥ {_ALIKE}) as one of the "
            f"{_BEFORE:,} before, {float(crossed.sum() / max(later.sum(), 1)):.1%} across the split"
        )
    bad = share > _DUPLICATES or crossing > _LEAKED
    return judged(
        f"{kind} duplicates",
        WATCH if bad else None,
        what,
        "keep the first of each; what a model scores on repeats it has seen is memory",
    )


def _near(texts: Texts, symbol: np.ndarray) -> np.ndarray:
    """Index of the latest similar text of the same symbol before each text; -1 if none."""
    nearest = np.full(len(symbol), -1)
    order = np.argsort(symbol, kind="stable")
    edges = np.flatnonzero(np.diff(symbol[order])) + 1
    for rows in np.split(order, edges):
        x = texts.embedding[rows].astype(np.float32)
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        for start in range(0, len(rows), _PAGE):
            stop, first = min(start + _PAGE, len(rows)), max(start - _BEFORE, 0)
            alike = x[start:stop] @ x[first:stop].T >= _ALIKE
            place = np.arange(first, stop)
            alike &= place[None, :] < np.arange(start, stop)[:, None]
            hit = alike.any(1)
            last = place[len(place) - 1 - alike[:, ::-1].argmax(1)]
            nearest[rows[start:stop][hit]] = rows[last[hit]]
    return nearest


def _stale(kind: str, items: Texts | Media, market: Market) -> Finding:
    wait = market.decision_time[items.bar] - items.available_time
    delay = items.available_time - items.event_time
    waiting, late = float(np.mean(wait > _WAITING)), float(np.mean(delay > _LATE))
    return judged(
        f"stale {kind}",
        WATCH if max(waiting, late) > _STALE else None,
        f"{waiting:.1%} of the items of {kind} wait over 5 days for a session of their symbol, "
        f"{late:.1%} became available more than 30 days after their event",
        "bars may be missing, or available_time may be the day of a download",
    )


def _sources(kind: str, items: Texts | Media, tables: dict[str, pd.DataFrame]) -> Finding:
    source, count = np.unique(items.author, return_counts=True)
    share = count / count.sum()
    effective = 1 / float((share**2).sum())
    weight = weights(items.author)
    top = np.argsort(-count, kind="stable")[:20]
    first = np.array([weight[np.argmax(items.author == s)] for s in source[top]])
    tables[f"sources of {kind}, largest first, and the weight that balances them"] = pd.DataFrame(
        {"items": count[top], "share": share[top].round(4), "weight": first.round(4)},
        index=pd.Index([items.names[int(s)] or "(none named)" for s in source[top]], name="source"),
    )
    largest = items.names[int(source[count.argmax()])] or "(none named)"
    tilted = share.max() > _ONE_SOURCE and len(source) > 1
    return judged(
        f"{kind} sources",
        WATCH if tilted else None,
        f"{len(source):,} sources of {kind}, equivalent to {effective:,.0f} equally large ones; "
        f"the largest, {largest}, writes {share.max():.1%}",
        f"let no source tilt the batches: --config.train.balance={kind}",
    )
