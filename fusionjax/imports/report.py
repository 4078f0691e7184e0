"""The table of what was read."""

from rich.markup import escape
from rich.table import Table

from fusionjax.imports.columns import Recognised
from fusionjax.imports.market import Imported


def table(files: list[Recognised], market: Imported) -> Table:
    """A row for the files whose columns are the same: what they are, their columns, their rows."""
    shown = Table("files", "layout", "columns → ours", "rows", "symbols", "first", "last")
    kinds = [(f.shape, "symbol" in f.columns, frozenset(f.left_out)) for f in files]
    for kind in dict.fromkeys(kinds):
        at = [i for i, own in enumerate(kinds) if own == kind]
        like, spans = files[at[0]], [market.rows[i] for i in at]
        names = [f"{'+'.join(of)} → {ours}" for ours, of in like.names.items()]
        if "symbol" not in like.columns:
            names.insert(0, "file's name → symbol")
        if like.left_out:
            names.append(f"not used: {', '.join(like.left_out)}")
        more = f" and {len(at) - 1} more" if len(at) > 1 else ""
        vendor = like.layout.name if like.layout else "by names of columns"
        shown.add_row(
            escape(f"{like.cells.path.name}{more}"),
            f"{'bars' if like.is_bars else 'texts'}, {vendor}",
            escape("\n".join(names)),
            f"{sum(rows for rows, *_ in spans):,}",
            f"{sum(symbols for _, symbols, *_ in spans):,}",
            min(first for *_, first, _ in spans),
            max(last for *_, last in spans),
        )
    return shown
