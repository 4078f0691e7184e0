"""The result of one check of an audit."""

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

from fusionjax.data.store import Market

FINE, WATCH, STOP = "fine", "watch", "stop"


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
      code: short name of the check; ``data.accepted_findings`` lists codes.
      level: ``fine``, ``watch`` (a person should look) or ``stop`` (do not train on this).
      what: the result in words.
      do: what to do about it; may be empty.
    """

    code: str
    level: str
    what: str
    do: str = ""


def listed(what: str, examples: Iterable[object], most: int = 3, between: str = ", ") -> str:
    """``what``, followed by the first few examples."""
    named = between.join(str(e) for e in itertools.islice(examples, most))
    return f"{what}: {named}" if named else what


def place(market: Market, row: int | np.integer) -> str:
    """A row's symbol and session."""
    return f"{market.symbols[market.symbol[row]]} {market.session[row]}"


def first_move(
    market: Market, rows: Int64[np.ndarray, "K"], sizes: Float64[np.ndarray, "K"]
) -> str:
    """Where the first of some log moves is, and by which factor, to end a sentence; "" of none."""
    return f", the first {place(market, rows[0])} (× {np.exp(sizes[0]):.3g})" if len(rows) else ""


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Findings to stop at, then those to look at, then the rest."""
    return sorted(findings, key=lambda f: (STOP, WATCH, FINE).index(f.level))


def judged(code: str, level: str | None, what: str, do: str) -> Finding:
    """A finding of ``level``; None means that the check passed."""
    return Finding(code, FINE, what) if level is None else Finding(code, level, what, do)
