"""Draws docs/results.svg, the README's picture, from the tables of docs/fusion.md and README.md.

Run it after a table has changed: ``python docs/draw_results.py``. A test compares the two.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "results.svg"
OURS, OTHER, LINE = "#0b6e99", "#9aa3ab", "#d7dce0"
INPUTS = ("numeric, text", "+ chart", "+ noise", "+ noise", "+ shortcut")
NUMBER = r"-?\d*\.\d+"


def table(text: str, first_cell: str) -> list[list[str]]:
    """Cells of the first Markdown table that has a row beginning so, from that row on."""
    lines = iter(text.splitlines())
    start = next(line for line in lines if line.startswith(f"| {first_cell} |"))
    rows = [start, *(line for line in iter(lambda: next(lines, ""), "") if line.startswith("|"))]
    return [[cell.strip(" *") for cell in row.strip("|").split("|")] for row in rows]


def accuracies(text: str) -> dict[str, list[float]]:
    """Test accuracy, %, of each fusion with two to six modalities: docs/fusion.md."""
    return {
        name: [float(re.findall(NUMBER, cell)[0]) for cell in cells[:5]]
        for name, *cells in table(text, "distilled")
    }


def errors(text: str) -> dict[str, float]:
    """Mean squared error of log volatility, by forecaster: README.md."""
    return {
        name.partition(", 5 seeds")[0]: float(re.findall(NUMBER, cells[-1])[0])
        for name, *cells in table(text, "fusionjax, 5 seeds averaged")
        if re.findall(NUMBER, cells[-1]) and not name.startswith("one seed")
    }


def added_inputs(scores: dict[str, list[float]]) -> list[str]:
    """The left panel: accuracy as inputs are added."""

    def x(i: int) -> float:
        return 56 + 82 * i

    def y(accuracy: float) -> float:
        return 262 - 20 * (accuracy - 60)

    out = [text(8, 22, "Planted market: accuracy, %, as inputs are added", size=15, weight="bold")]
    for level in range(60, 71, 2):
        out += [line(x(0), y(level), x(4), y(level), LINE), text(30, y(level) + 4, str(level))]
    out += [text(x(i), 286, name, anchor="middle") for i, name in enumerate(INPUTS)]
    for name in sorted(scores, key=lambda n: n == "distilled"):
        ours = name == "distilled"
        points = " ".join(f"{x(i):.0f},{y(v):.1f}" for i, v in enumerate(scores[name]))
        out.append(
            f'<polyline points="{points}" fill="none" stroke="{OURS if ours else OTHER}" '
            f'stroke-width="{3 if ours else 1.2}"/>'
        )
    low, high = (
        f(v[-1] for n, v in scores.items() if n not in ("distilled", "logistic regression"))
        for f in (min, max)
    )
    return [
        *out,
        text(x(4) + 8, y(scores["distilled"][-1]) + 4, "fusionjax", OURS, weight="bold"),
        text(x(4) + 8, y((low + high) / 2) + 4, f"{len(scores) - 2} other fusions"),
        text(x(4) + 8, y(scores["logistic regression"][-1]) + 6, "logistic regression"),
    ]


def volatility(scores: dict[str, float]) -> list[str]:
    """The right panel: squared errors as bars."""

    def x(error: float) -> float:
        return 680 + 420 * error

    out = [text(540, 22, "S&amp;P 500: squared error of volatility", size=15, weight="bold")]
    for level in (0.0, 0.1, 0.2, 0.3, 0.4):
        out += [
            line(x(level), 44, x(level), 262, LINE),
            text(x(level), 286, f"{level:.1f}", anchor="middle"),
        ]
    for i, (name, error) in enumerate(scores.items()):
        y, colour = 58 + 200 * i / len(scores), OTHER if i else OURS
        out += [
            line(x(0), y, x(error), y, colour, width=14),
            text(x(error) + 4, y + 4, f"{error:.3f}"[1:]),
            text(672, y + 4, name, OURS if not i else "#333", anchor="end"),
        ]
    return out


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    """A straight line."""
    ends = f'x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def text(x: float, y: float, words: str, colour: str = "#333", **style: object) -> str:
    """A label; ``style`` may have size, weight and meta set."""
    names = {"size": "font-size", "weight": "font-weight", "anchor": "text-anchor"}
    more = "".join(f' {names[key]}="{value}"' for key, value in style.items())
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}"{more}>{words}</text>'


def picture() -> str:
    """The whole picture, as SVG."""
    fusion, readme = ((ROOT / p).read_text() for p in ("docs/fusion.md", "README.md"))
    body = [*added_inputs(accuracies(fusion)), *volatility(errors(readme))]
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 890 300" '
        'font-family="sans-serif" font-size="12">\n<rect width="890" height="300" fill="white"/>'
    )
    return "\n".join([head, *body, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture())
