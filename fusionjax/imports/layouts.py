"""What downloads look like: names of columns and files, and what vendors do to prices.

Names are compared by ``plain``: letters and digits alone, in lower case.
"""

import dataclasses
import re
from collections.abc import Mapping

# Columns of bars by ours.
BARS: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "permno", "tic", "code"),
    "date": ("date", "timestamp", "datetime", "day", "opentime", "caldt"),
    "open": ("open", "openprc", "openprice"),
    "high": ("high", "askhi", "highprice"),
    "low": ("low", "bidlo", "lowprice"),
    "close": ("close", "prc", "price", "closelast", "closeprice"),
    "adj_close": ("adjclose", "adjustedclose", "adjcloseprice", "closeadj"),
    "volume": ("volume", "vol"),
}
# Columns of texts by ours; several bodies may stand side by side, as may several authors.
TEXTS: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbols", "symbol", "tickers", "ticker", "related", "stock"),
    "event_time": ("eventtime", "publishedutc", "publishedat", "createdat", "datetime", "date"),
    "available_time": ("availabletime", "updatedat"),
    "headline": ("headline", "title"),
    "text": ("text", "content", "body", "description", "summary"),
    "author": ("author", "source", "publisher"),
}
SEVERAL = ("text", "author")
# Of Binance's files, which have no header.
KLINES = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("trades", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
# How names of files hold a symbol; the whole stem where none matches.
FILES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(.+)-\d+[a-z]+-\d{4}(?:-\d\d){1,2}",  # BTCUSDT-1d-2024-01
        r"(.+) historical data(?: \(\d+\))?",  # investing.com
        r"daily(?:_adjusted)?_(.+)",  # Alpha Vantage
        r"(.+?)_[a-z]{1,3}_d",  # aapl_us_d, Stooq
    )
)
UNKNOWN = (
    "adjustment unknown: no adjusted close, so close is taken for it; if prices are as traded, the "
    "audit will name splits as jumps"
)
BOTH = "close as given, and an adjusted close: their ratio says what was a split or a dividend"


@dataclasses.dataclass(frozen=True)
class Layout:
    """A vendor's layout.

    Attributes:
      name: for the table of what was read.
      marks: plain names of columns by which it is known.
      adjustment: what is assumed about prices, in a sentence.
      pins: our names for columns that mean something only here, or that have rivals.
    """

    name: str
    marks: frozenset[str]
    adjustment: str
    pins: Mapping[str, str] = dataclasses.field(default_factory=dict)


def plain(name: object) -> str:
    """A column's name for comparison: ``1. Adj. Close`` is ``adjclose``."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^\s*\d+\.", "", str(name).lower()))


CRSP = Layout(
    "CRSP",
    frozenset({"permno", "prc"}),
    "CRSP: close as traded (a negative PRC is the mean of bid and ask), adjusted close from RET, "
    "or from CFACPR where that is no number",
    {"symbol": "permno", "returns": "ret", "factor": "cfacpr"},
)
TWO_HEADERS = Layout(
    "yfinance, two header rows",
    frozenset({"(two header rows)"}),
    "adjusted only: without Adj Close, yfinance adjusts all prices for splits and dividends",
)
# The first whose marks a file has.
LAYOUTS = (
    CRSP,
    Layout("Tiingo", frozenset({"adjclose", "divcash", "splitfactor"}), BOTH),
    Layout("Alpha Vantage", frozenset({"adjustedclose", "splitcoefficient"}), BOTH),
    Layout("EODHD", frozenset({"adjustedclose"}), BOTH),
    Layout("Yahoo", frozenset({"adjclose"}), BOTH),
    TWO_HEADERS,
    Layout(
        "yfinance history",
        frozenset({"dividends", "stocksplits"}),
        "adjusted only: yfinance's history adjusts all prices for splits and dividends",
    ),
    Layout(
        "Stooq",
        frozenset({"per", "openint"}),
        "adjusted only: Stooq adjusts for splits and dividends unless the download skips them",
    ),
    Layout(
        "Binance klines",
        frozenset({"opentime", "closetime", "ignore"}),
        "nothing to adjust: a pair of currencies; a day is that of UTC",
    ),
    Layout(
        "investing.com",
        frozenset({"price", "change"}),
        "adjustment unknown: investing.com gives one close, as a rule adjusted for splits alone",
    ),
)
