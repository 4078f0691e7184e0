"""Interactive figures from tables, drawn by Plotly; a page carries the library once."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup

from fusionjax.errors import require_extra

_COLOURS = ("#3366cc", "#dc3912", "#109618", "#ff9900", "#990099", "#0099c6", "#dd4477", "#66aa00")
_GREY = "#888888"
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
            "mode": "lines",
            "name": name,
            "x": list(at),
            "y": _clean(values),
            "line": {"color": _COLOURS[i % len(_COLOURS)], "width": 1.8},
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
    line: float | None = None,
) -> Markup:
    """Horizontal bars, the first on top; ``line`` marks a value to compare with."""
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": _clean(values),
        "marker": {"color": _COLOURS[0]},
    }
    if errors is not None:
        trace["error_x"] = {"type": "data", "array": _clean(errors), "color": _GREY}
    layout = _axes(x, "")
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True}
    layout["height"] = max(180, 60 + 22 * len(names))
    if line is not None:
        layout["shapes"] = [
            {"type": "line", "x0": line, "x1": line, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": _COLOURS[1], "dash": "dot"}}
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
        colour = [_GREY if np.isnan(r) else _COLOURS[2] if r else _COLOURS[1] for r in p["right"]]
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
    grid = {"gridcolor": "rgba(128,128,128,.25)", "zerolinecolor": "rgba(128,128,128,.5)"}
    return {
        "xaxis": {"title": {"text": x}, "automargin": True, **grid},
        "yaxis": {"title": {"text": y}, "automargin": True, **grid},
        "height": 340,
        "margin": {"l": 50, "r": 15, "t": 30, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": _GREY},
        "legend": {"orientation": "h", "y": 1.12, "yanchor": "bottom"},
        "hovermode": "closest",
    }


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
