"""What the columns of a file of forecasts mean: our own names, and those that other packages write.

Keys: ``symbol`` (or ``unique_id``, ``item_id``); ``decision_time`` (or ``cutoff``: the last session
that the forecast knows); ``target_date`` (or ``ds``, ``timestamp``: the session in which its
horizon ends); ``horizon`` in sessions; and ``model``, ``scale``, ``trained_until``.

Forecasts, by our names: ``probability_up``; ``volatility`` or ``log_volatility`` (of a day); and,
of each of the scales ``RETURNS``, quantiles (``return_q0.05``, ``return_lo-90``) or a point
(``return_mean``, ``return_median``). Names that other packages write say no scale, so it is asked
for: ``0.1``, ``Model``, ``Model-lo-90``, ``Model-median``, ``Model_ql0.1``, ``Model-q-0.1``,
``predictions``.
"""

import dataclasses
import re
from collections.abc import Iterable
from typing import Literal

from fusionjax.errors import InputError

KEYS = {
    "symbol": ("symbol", "unique_id", "item_id"),
    "decision_time": ("decision_time", "cutoff"),
    "target_date": ("target_date", "ds", "timestamp"),
    "horizon": ("horizon",),
    "model": ("model",),
    "scale": ("scale",),
    "trained_until": ("trained_until",),
}
RETURNS = ("return", "simple_return", "price", "close")
VOLATILITIES = ("volatility", "log_volatility")
_UP = ("probability_up", "up", "p_up")
_SAID = r"q(?P<level>0?\.\d+)|(?P<side>lo|hi)-(?P<width>\d+(?:\.\d+)?)|(?P<point>mean|median)"
_OURS = re.compile(rf"(?P<scale>{'|'.join(RETURNS)})_(?:{_SAID})")
_THEIRS = (
    re.compile(r"(?:(?P<model>.+?)[-_])?(?:ql?-?)?(?P<level>0?\.\d+)"),
    re.compile(r"(?:(?P<model>.+)-)?(?P<side>lo|hi)-(?P<width>\d+(?:\.\d+)?)"),
    re.compile(r"(?:(?P<model>.+)-)?(?P<point>mean|median|predictions)"),
)
_NO_MODEL = ("y", "target_name", "index", "Unnamed: 0")  # beside the models of a frame


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of forecasts.

    Attributes:
      name: in the file.
      model: whose forecast it is; empty: the only one's.
      scale: of its cells, "up" for probabilities; empty: still to be told.
      what: the level of a quantile, or a point.
    """

    name: str
    model: str
    scale: str
    what: float | Literal["mean", "median"]


@dataclasses.dataclass(frozen=True)
class Header:
    """The columns of a file.

    Attributes:
      keys: names in the file, by those here.
      forecasts: the columns of forecasts.
      unread: names of others that might have been meant.
      steps: forecasts are steps of a path whose values are returns: of one session each.
    """

    keys: dict[str, str]
    forecasts: tuple[Column, ...]
    unread: tuple[str, ...]
    steps: bool = False


def understood(names: Iterable[str], where: object) -> Header:
    """What a header says.

    Raises:
      InputError: a key or every forecast is missing, or a level is not between 0 and 1.
    """
    names = [*names]
    keys = {k: next(n for n in of if n in names) for k, of in KEYS.items() if {*of} & {*names}}
    rest = [n for n in names if n not in keys.values()]
    ours = {n: c for n in rest if (c := _ours(n)) is not None}
    theirs = {} if ours else {n: c for n in rest if (c := _theirs(n, "unique_id" in names))}
    columns = tuple({**ours, **theirs}.values())
    lists = f"it has {', '.join(names[:20])}{' …' if len(names) > 20 else ''}"
    if not columns:
        raise InputError(
            f"{where}: no column holds a forecast; {lists}. Expected probability_up, quantiles "
            "such as return_q0.05, return_mean or volatility (docs/peers.md)"
        )
    if "symbol" not in keys:
        raise InputError(f"{where}: lacks column symbol (or unique_id, item_id); {lists}")
    dated = [k in keys for k in ("decision_time", "target_date", "horizon")]
    if sum(dated) < 2:
        hint = "; of target_day it is not known whether it begins or ends the horizon"
        raise InputError(
            f"{where}: expected two of the columns decision_time (or cutoff: the last session it "
            f"knows), target_date (or ds: the session it is for) and horizon (in sessions); {lists}"
            f"{hint if 'target_day' in names else ''}"
        )
    for column in columns:
        if not isinstance(column.what, str) and not 0 < column.what < 1:
            raise InputError(
                f"{where}: column {column.name} is the quantile at {column.what:g}; a level lies "
                "between 0 and 1"
            )
    unread = tuple(n for n in rest if n not in {*ours, *theirs, *_NO_MODEL})
    return Header(keys, columns, unread)


def scaled(header: Header, scale: str | None, where: object) -> Header:
    """The header with the scale of the columns that name none.

    Raises:
      InputError: it is none of ``RETURNS``, or needed and not told.
    """
    if scale is not None and scale not in RETURNS:
        raise InputError(f"{where}: scale is {scale!r}; expected one of {', '.join(RETURNS)}")
    unknown = [c.name for c in header.forecasts if not c.scale]
    if unknown and scale is None:
        raise InputError(
            f"{where}: {', '.join(unknown[:5])} may be prices or returns; say which with --scale= "
            f"or a column scale: {', '.join(RETURNS)} (price: as adj_close; close: as traded)"
        )
    columns = (
        c if c.scale else dataclasses.replace(c, scale=scale or "") for c in header.forecasts
    )
    steps = bool(unknown) and scale in ("return", "simple_return")
    return dataclasses.replace(header, forecasts=tuple(columns), steps=steps)


def _ours(name: str) -> Column | None:
    if name in _UP:
        return Column(name, "", "up", "mean")
    if name in VOLATILITIES:
        return Column(name, "", name, "mean")
    found = _OURS.fullmatch(name)
    return found and Column(name, "", found["scale"], _what(found))


def _theirs(name: str, long_frame: bool) -> Column | None:
    if name in _NO_MODEL:
        return None
    for pattern in _THEIRS:
        if found := pattern.fullmatch(name):
            return Column(name, found["model"] or "", "", _what(found))
    return Column(name, name, "", "mean") if long_frame else None


def _what(found: re.Match[str]) -> float | Literal["mean", "median"]:
    parts = found.groupdict()
    if parts.get("level"):
        return float(parts["level"])
    if parts.get("side"):
        tail = (1 - float(parts["width"]) / 100) / 2
        return round(tail if parts["side"] == "lo" else 1 - tail, 6)
    return "median" if parts["point"] == "median" else "mean"
