"""Interactive figures from tables, drawn by Plotly; a page carries the library once."""

import textwrap
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup

from fusionjax.errors import require_extra

# Each stands out by 3 : 1 from a white page and from a dark one.
COLOURS = ("#3b78e0", "#dc3912", "#109618", "#cc7000", "#b445c9", "#0a8fb8", "#dd4477", "#5c9100")
_GREY = "#808080"
_FEW = 12  # points of a line that are marked: a single one draws no line
_LINE = 24  # letters of a name before it goes on in the next line
_CONFIG = {"displayModeBar": False, "responsive": True}


def library() -> Markup:
    """Plotly's script, to be put into a page once.

    Raises:
      InputError: Plotly is not installed.
    """
    require_extra("plots", "plotly")
    from plotly.offline import get_plotlyjs

    return Markup(f"<script>{get_plotlyjs()}</script>")


def lines(
    curves: Mapping[str, tuple[Iterable, Iterable]],
    x: str = "",
    y: str = "",
    marks: Mapping[str, Any] | None = None,
    height: int = 340,
) -> Markup:
    """Curves by name; ``marks`` are vertical lines, by their text."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines" if len(x_of := list(at)) > _FEW else "lines+markers",
            "name": name,
            "x": x_of,
            "y": _clean(values),
            "line": {"color": COLOURS[i % len(COLOURS)], "width": 1.8},
        }
        for i, (name, (at, values)) in enumerate(curves.items())
    ]
    layout = _axes(x, y) | {"height": height}
    for text, place in (marks or {}).items():
        layout.setdefault("shapes", []).append(
            {"type": "line", "x0": place, "x1": place, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": _GREY, "dash": "dot", "width": 1}}
        )  # fmt: skip
        layout.setdefault("annotations", []).append(
            {"x": place, "y": 1, "yref": "paper", "text": text, "showarrow": False,
             "textangle": -90, "xanchor": "right", "yanchor": "top", "font": {"size": 10}}
        )  # fmt: skip
    return _figure(traces, layout)


def bars(
    names: list[str],
    values: Iterable[float],
    errors: Iterable[float] | None = None,
    x: str = "",
) -> Markup:
    """Horizontal bars, the first on top."""
    wrapped, layout = _listed(names, x, 60, 22)
    layout["height"] = max(180, layout["height"])
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "y": wrapped,
        "x": _clean(values),
        "marker": {"color": COLOURS[0]},
    }
    if errors is not None:
        trace["error_x"] = {"type": "data", "array": _clean(errors), "color": _GREY}
    return _figure([trace], layout)


def estimates(
    names: list[str],
    values: Iterable[float],
    ends: Iterable[tuple[float, float]],
    x: str,
    ours: Collection[str] = (),
) -> Markup:
    """Points with intervals, the first on top, beside a line at 0.

    Args:
      names: of the points.
      values: where they are.
      ends: of their intervals; not drawn where infinite.
      x: what the values are.
      ours: names in another colour.
    """
    wrapped, layout = _listed(names, x, 90, 28)
    at, (low, high) = np.asarray([*values], float), np.asarray([*ends], float).T
    trace = {
        "type": "scatter",
        "mode": "markers",
        "y": wrapped,
        "x": _clean(at),
        "marker": {"color": [COLOURS[name in ours] for name in names], "size": 8},
        "error_x": {"type": "data", "symmetric": False, "array": _clean(high - at),
                    "arrayminus": _clean(at - low), "color": _GREY, "thickness": 1.5},
    }  # fmt: skip
    layout["shapes"] = [
        {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
         "line": {"color": _GREY, "dash": "dot"}}
    ]  # fmt: skip
    return _figure([trace], layout)


def heatmap(
    values: Float[np.ndarray, "Y X"],
    x: list[str] | None = None,
    y: list[str] | None = None,
    bar: bool = True,
    height: int = 340,
) -> Markup:
    """A table of numbers as colours; the first row is at the top."""
    trace = {
        "type": "heatmap",
        "z": [_clean(row) for row in values],
        "colorscale": "Viridis",
        "showscale": bar,
    }
    if x is not None:
        trace["x"] = x
    if y is not None:
        trace["y"] = y
    layout = _axes("", "")
    layout["xaxis"] = {"automargin": True}
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True}
    layout["height"] = height
    return _figure([trace], layout)


def prices(panels: dict[str, pd.DataFrame], past: dict[str, pd.DataFrame]) -> Markup:
    """Closing prices with the forecasts made at them, one symbol at a time.

    Args:
      panels: by symbol: session, target_day, close, low and high (prices at the interval's ends,
        if there is one), up (the call), label (on its mark), right (1 or 0, NaN where no label
        counts).
      past: by symbol: day and close, from before the forecasts to their end.
    """
    traces: list[dict[str, Any]] = []
    buttons = []
    each = 4 if all("low" in p for p in panels.values()) else 2
    for i, (symbol, p) in enumerate(panels.items()):
        decisions, days = (p[c].dt.strftime("%Y-%m-%d").tolist() for c in ("session", "target_day"))
        colour = [_GREY if np.isnan(r) else COLOURS[2] if r else COLOURS[1] for r in p["right"]]
        edges = [] if each == 2 else [
            {"mode": "lines", "x": days, "y": _clean(p["low"]), "line": {"width": 0},
             "hoverinfo": "skip", "showlegend": False},
            {"mode": "lines", "x": days, "y": _clean(p["high"]), "line": {"width": 0},
             "fill": "tonexty", "fillcolor": "rgba(51,102,204,.18)", "name": "interval"},
        ]  # fmt: skip
        for trace in (
            *edges,
            {"mode": "lines", "x": past[symbol]["day"].dt.strftime("%Y-%m-%d").tolist(),
             "y": _clean(past[symbol]["close"]), "line": {"color": _GREY, "width": 1.4},
             "name": "close"},
            {"mode": "markers", "x": decisions, "y": _clean(p["close"]),
             "text": p["label"].tolist(),
             "marker": {"color": colour, "size": 8,
                        "symbol": ["triangle-up" if u else "triangle-down" for u in p["up"]]},
             "name": "call: green right, red wrong"},
        ):  # fmt: skip
            traces.append({"type": "scatter", "visible": i == 0, **trace})
        visible = [False] * each * len(panels)
        visible[each * i : each * i + each] = [True] * each
        buttons.append({"label": symbol, "method": "restyle", "args": ["visible", visible]})
    layout = _axes("", "adjusted close")
    layout["height"] = 420
    if len(buttons) > 1:
        layout["updatemenus"] = [{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.25}]
    return _figure(traces, layout)


def _axes(x: str, y: str) -> dict[str, Any]:
    # Small losses as they are written elsewhere: .00005, not 50μ.
    grid = {
        "exponentformat": "none",
        "gridcolor": "rgba(128,128,128,.25)",
        "zerolinecolor": "rgba(128,128,128,.5)",
    }
    return {
        # Margins are fixed: on a narrow page those that Plotly finds move its legend, which moves
        # them again.
        "xaxis": {"title": {"text": x}, "tickangle": 0, **grid},
        "yaxis": {"title": {"text": y}, **grid},
        "height": 340,
        "margin": {"l": 70 if y else 55, "r": 15, "t": 30, "b": 50 if x else 30},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": _GREY},
        "legend": {"orientation": "h", "y": 1.12, "yanchor": "bottom"},
        "hovermode": "closest",
    }


def _listed(names: list[str], x: str, height: int, each: int) -> tuple[list[str], dict[str, Any]]:
    """Names in lines that leave room for what is drawn beside them, and a layout with the first on
    top, of a height and as much again for each name."""
    wrapped = ["<br>".join(textwrap.wrap(name, _LINE)) or name for name in names]
    layout = _axes(x, "")
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True}
    layout["height"] = height + sum(each + 14 * name.count("<br>") for name in wrapped)
    return wrapped, layout


def _clean(values: Iterable[Any]) -> list[float | None]:
    """Values with five digits; None, a gap, where one is not finite."""
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def _figure(traces: list[dict[str, Any]], layout: dict[str, Any]) -> Markup:
    require_extra("plots", "plotly")
    import plotly.graph_objects as go
    import plotly.io

    figure = go.Figure({"data": traces, "layout": {**layout, "template": "none"}})
    return Markup(
        plotly.io.to_html(
            figure, config=_CONFIG, include_plotlyjs=False, full_html=False, default_height="auto"
        )
    )
