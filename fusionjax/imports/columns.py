"""Which column of a file is which of ours, and by what layout it is known."""

import dataclasses
from collections.abc import Iterable, Mapping

from fusionjax.data import schema
from fusionjax.data.names import PRICE_CHANNELS
from fusionjax.errors import InputError, nearest
from fusionjax.imports import layouts
from fusionjax.imports.layouts import Layout, plain
from fusionjax.imports.reading import Cells

_PRICES = ("open", "high", "low", "close")
_EXCHANGE = "exchange"  # whose calendar would not be the one that is looked for
_TAKEN = {*PRICE_CHANNELS, *schema.RESERVED, _EXCHANGE}


@dataclasses.dataclass(frozen=True)
class Recognised:
    """A file whose columns are known.

    Attributes:
      cells: of the file.
      is_bars: whether it holds bars; texts otherwise.
      layout: the vendor's, if it is known.
      columns: positions of the columns by our names.
    """

    cells: Cells
    is_bars: bool
    layout: Layout | None
    columns: dict[str, tuple[int, ...]]

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns as the file writes them, by ours."""
        header = self.cells.header
        return {ours: tuple(header[j] for j in at) for ours, at in sorted(self.columns.items())}

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for files of one layout, whatever the order and case of their columns and wherever
        the symbol stands: under one header row it may be the file's name."""
        names = self.names.items()
        plain_names = ((ours, *map(plain, of)) for ours, of in names if ours != "symbol")
        return self.is_bars, self.layout and self.layout.name, *plain_names

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of columns that are not used."""
        used = {j for at in self.columns.values() for j in at}
        return tuple(name for j, name in enumerate(self.cells.header) if j not in used)

    @property
    def adjustment(self) -> str:
        """What is assumed about the adjustment of prices, in a sentence."""
        if self.layout is not None:
            return self.layout.adjustment
        return layouts.BOTH if "adj_close" in self.columns else layouts.UNKNOWN


def named(pairs: Iterable[str]) -> dict[str, str]:
    """Our names by plain ones, of ``COLUMN=NAME``, the values of --map.

    Raises:
      InputError: a pair is none, or its name cannot be a column of a market folder.
    """
    known = {*layouts.BARS, *layouts.TEXTS, "sector"}
    result = {}
    for pair in pairs:
        column, _, name = pair.rpartition("=")
        if not plain(column):
            raise InputError(f"--map: {pair!r} is not COLUMN=NAME; for example --map=Last=close")
        if name in _TAKEN or not name.isidentifier():
            raise InputError(
                f"--map: {name!r} cannot name a column; expected {', '.join(sorted(known))}, or a "
                "word of your own, for a channel of numbers"
            )
        result[plain(column)] = name
    return result


def recognised(files: list[Cells], names: dict[str, str]) -> list[Recognised]:
    """What each file is.

    Args:
      files: as they were read.
      names: our names by plain ones, which take precedence.

    Raises:
      InputError: a file is neither bars nor texts, lacks a column or has two for one of ours; bars
        have two layouts; a name is of no column.
    """
    headers = {plain(name): name for cells in files for name in cells.header}
    for column in names:
        if column not in headers:
            hint = nearest(column, headers)
            raise InputError(f"--map: no file has a column {column!r}{hint}")
    found = [_recognised(cells, names) for cells in files]
    bars = [f for f in found if f.is_bars]
    if not bars:
        raise InputError(
            f"{files[0].path}: no file holds prices; texts alone are no market: give the bars too"
        )
    other = next((f for f in bars if f.shape != bars[0].shape), None)
    if other is not None:
        raise InputError(
            f"{bars[0].cells.path} and {other.cells.path}: bars of two layouts "
            f"({_in_words(bars[0])}; {_in_words(other)}), whose prices may be adjusted in two "
            "ways; download all of them in one way, or import one of them"
        )
    return found


def _in_words(file: Recognised) -> str:
    return ", ".join("+".join(of) for of in file.names.values())


def _recognised(cells: Cells, names: dict[str, str]) -> Recognised:
    plains = [plain(name) for name in cells.header]
    marks = {*plains, *(layouts.TWO_HEADERS.marks if cells.two_headers else ())}
    layout = next((of for of in layouts.LAYOUTS if of.marks <= marks), None)
    bars = _columns(plains, names, layouts.BARS, layout.pins if layout else {})
    texts = _columns(plains, names, layouts.TEXTS, {})
    is_bars = sum(p in bars for p in _PRICES) >= 2
    where, header = cells.path, ", ".join(cells.header)
    if not is_bars and not {"headline", "text"} & {*texts}:
        raise InputError(
            f"{where}: holds neither prices nor texts; its columns are {header}: name those that "
            "do, --map=COLUMN=close,... (a bar needs open, high, low and close; a column of closes "
            "a symbol is not read)"
        )
    columns, needed = (bars, ("date", *_PRICES)) if is_bars else (texts, ("event_time", "symbol"))
    for ours, at in columns.items():
        if len(at) > 1 and (is_bars or ours not in layouts.SEVERAL):
            rivals = " and ".join(repr(cells.header[j]) for j in at)
            raise InputError(f"{where}: {rivals} may both be {ours}; choose: --map=COLUMN={ours}")
    if missing := [c for c in needed if c not in columns]:
        if missing == ["symbol"]:
            raise InputError(
                f"{where}: its texts name no symbol; add a column symbols to each, such as AAPL or "
                f"AAPL|MSFT, or name the one that holds them: --map=COLUMN=symbol (it has {header})"
            )
        raise InputError(
            f"{where}: no column for {', '.join(missing)}; it has {header}: name what holds them, "
            f"--map=COLUMN={missing[0]}"
        )
    return Recognised(cells, is_bars, layout if is_bars else None, columns)


def _columns(
    plains: list[str],
    names: dict[str, str],
    synonyms: Mapping[str, tuple[str, ...]],
    pins: Mapping[str, str],
) -> dict[str, tuple[int, ...]]:
    """Positions by our names: of the columns that are named so, else pinned, else synonyms."""
    wanted = {**{n: () for n in names.values() if n not in synonyms}, **dict(synonyms)}
    wanted |= {ours: (of,) for ours, of in pins.items()}
    found = {}
    for ours, of in wanted.items():
        at = [j for j, p in enumerate(plains) if names.get(p) == ours]
        at = at or [j for j, p in enumerate(plains) if p in of and p not in names]
        if at:
            found[ours] = tuple(at)
    return found
