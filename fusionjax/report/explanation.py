"""A picture of why a forecast is what it is: its sources, and the parts that say something."""

from typing import Any

from markupsafe import Markup

from fusionjax.report import charts

_PARTS = 12  # drawn below the sources
_LETTERS = 60  # of a part's name


def picture(told: dict[str, Any], target: str) -> list[Markup]:
    """A bar for each source, and for the largest parts that say something; what says nothing is
    listed below.

    Args:
      told: as ``Explanation.to_json`` gives it.
      target: which of its forecasts.
    """
    rows = told["contributions"]
    speak = [c for c in rows if c["says"][target] == "something"]
    wholes = [c for c in speak if c["kind"] == "whole"]
    parts = sorted(
        (c for c in speak if c["kind"] != "whole"), key=lambda c: -abs(c["change"][target])
    )
    silent = [c["source"] for c in rows if c["kind"] == "whole" and c not in wholes]
    drawn = [*wholes, *parts[:_PARTS]]
    lines = [Markup("<p>{} say nothing.</p>").format(", ".join(silent))] if silent else []
    if not drawn:
        return lines
    names = [f"{i + 1}. {_name(c)}" for i, c in enumerate(drawn)]  # each once
    values = [c["change"][target] for c in drawn]
    return [charts.bars(names, values, x=f"change of {target}"), *lines]


def _name(c: dict[str, Any]) -> str:
    if c["kind"] == "whole":
        return str(c["source"])
    part = c["part"][:_LETTERS] + "…" * (len(c["part"]) > _LETTERS)
    return f"{c['source']}, {c['kind']} {part}"
