"""A served day's page: forecasts, how earlier ones came out, drift, and which model serves."""

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from fusionjax.report import charts, explanation, page, track
from fusionjax.report.page import Section

_ROWS = 500
# Entries of a forecast that the page says once for all, or under another name.
_ELSEWHERE = {
    *("symbol", "session", "decision_time", "forecast_day"),
    *("direction", "calibrated", "return_quantiles", "model", "read_before"),
}
_ONE_SIDED = 0.9  # share of calls on one side from which the page says so
_WORDS = {"symbol": "stock", "up": "P(up)", "return": "return", "right": "came out"}


def write(day: dict[str, Any], path: Path, record: dict[str, Any] | None = None) -> Path:
    """Writes the page of a day, as ``adapt.daily.serve`` records it; returns its path.

    Args:
      day: the day.
      path: of the page.
      record: ``adapt.track.summary`` of the service, if it is to be shown.
    """
    scores = day["robustness"]
    shifts = pd.DataFrame(day["shifts"], dtype=float).T
    shifts = shifts.assign(robustness=scores).rename_axis("channel")
    alarms = "" if day["alarms"] else "No watched series left its level since the last session."
    ahead, first = _sessions(day["horizon"]), day["forecasts"][0]
    # A day that was served before these were kept has none.
    told, read_before = day.get("explanation"), day.get("read_before", [])
    sections = [
        Section("Forecasts", f"For {_target(day)}, from what was known at "
                f"{first['decision_time'].removesuffix('Z')} UTC; the likeliest rises first. P(up) "
                "and intervals are calibrated on labels that have become known since training. "
                "Weights say how much each source counted; 1 is average.",
                [page.table(_forecasts(day["forecasts"]), _ROWS)]),
        Section("How earlier calls came out", f"Calls of this service, {ahead} after they were "
                "made. A move too small for a label is not counted. The interval is at 95 %, over "
                "days: calls of one day are not independent.",
                _outcomes(day["outcomes"])),
        track.section(record, day.get("proof", "")),
        _why(told),
        Section("Drift", "First what left its level, and since when: inputs, labels, errors and "
                "weights, one number a session. Then which channels are distributed otherwise than "
                "in training, all recent sessions together: a channel may be, and have no new "
                "level to report.",
                [_lines([alarms, *day["drift"]])]),
        Section("Robustness", "Of each channel: 1 is distributed as in training, 0 not at all; "
                "from its population stability index (PSI) less what chance gives. KS is the "
                "largest distance of the two distributions.",
                [charts.bars(list(scores), list(scores.values()), x="robustness"),
                 page.table(shifts, _ROWS)]),
        Section("Update", "Whether the model was updated, and how the promotion gate decided, on "
                "labels that neither it nor its parent had seen.",
                [_lines([f"{_sentence(day['update']['why'])}"])]),
        Section("Model", "", [_lines([*read_before,
                                      f"{day['forecaster']}: it has learned labels from "
                                      f"{day['learned'][0]} to {day['learned'][1]}.",
                                      f"Folder: {day['serving']}"])]),
    ]  # fmt: skip
    return page.write_sections(
        path,
        sections,
        title=f"Forecasts for {_target(day)}",
        lead=[
            f"After the close of {_date(day['day'])}. {day['forecaster']}, which has learned "
            f"labels to {day['learned'][1]}, forecasts {_calls(day['forecasts'])} "
            f"{_alarms(day['alarms'])} Update: {_sentence(day['update']['why'])}"
        ],
        alarms=read_before,
        library=charts.library(),
    )


def _why(told: dict[str, Any] | None) -> Section:
    """What contributes to the surest forecast, if it is known."""
    intro = (
        "What contributes to the surest of these forecasts: by how much it differs from what it "
        "would be with other days' content in a part's place. What moves it no more than other "
        "content does says nothing; what experts forecast is a part of its own."
    )
    if told is None:
        return Section("Why", intro, [])
    target = next(iter(told["forecast"]))
    title = Markup("<h3>{}: {}, {}</h3>").format(told["symbol"], target, told["scale"][target])
    return Section("Why", intro, [title, *explanation.picture(told, target)])


def _alarms(count: int) -> str:
    return f"{count or 'No'} drift alarm{'' if count == 1 else 's'}."


def _target(day: dict[str, Any]) -> str:
    """The day that is forecast, or the sessions until then."""
    horizon, known = day["horizon"], day["forecast_day"]
    if known is None:
        return "the next session" if horizon == 1 else f"the next {horizon} sessions"
    return _date(known) if horizon == 1 else f"the {horizon} sessions to {_date(known)}"


def _date(day: str) -> str:
    return f"{datetime.date.fromisoformat(day):%A} {day}"


def _sessions(count: int) -> str:
    return "a session" if count == 1 else f"{count} sessions"


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}."


def _calls(forecasts: list[dict[str, Any]]) -> str:
    """How many stocks are forecast, and how many are called which way."""
    calls = pd.Series([f["call"] for f in forecasts if "call" in f], dtype=object)
    counts = ", ".join(f"{n} {call}" for call, n in calls.value_counts().items())
    stocks = f"{len(forecasts)} stock{'' if len(forecasts) == 1 else 's'}"
    return f"{stocks}: {counts}." if counts else f"{stocks}."


def _forecasts(forecasts: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a stock; what only repeats another column stays in the record."""
    rows = []
    for f in forecasts:
        calibrated = f.get("calibrated", {})
        row: dict[str, Any] = {"stock": f["symbol"]}
        for key, value in f.items():
            if key == "call":
                row["call"] = value
            elif key == "daily_volatility":
                row |= {f"volatility a day, {_span(h)}": f"{v:.2%}" for h, v in value.items()}
            elif key == "modality_weight":
                row |= {f"weight of {k}": f"{v:.2f}" for k, v in value.items()}
            elif key not in _ELSEWHERE:
                row[key.replace("_", " ")] = value
        head: dict[str, Any] = {"stock": row.pop("stock")}
        if "call" in row:
            head["call"] = row.pop("call")
        if "up" in calibrated:
            head["P(up)"] = f"{calibrated['up']:.1%}"
        for key, value in calibrated.items():
            if key.startswith("interval_"):
                span = _span(key.removeprefix("interval_"))
                name = f"return, {span}: {value['level']:.0%} interval"
                head[name] = f"{value['low']:+.2%} to {value['high']:+.2%}"
        rows.append((calibrated.get("up", 0.5), head | row))
    ordered = [row for _, row in sorted(rows, key=lambda r: -r[0])]
    return pd.DataFrame(ordered).set_index("stock")


def _span(horizon: str) -> str:
    count = horizon.removesuffix("d")
    return "next session" if count == "1" else f"next {count} sessions"


def _outcomes(outcomes: dict[str, Any]) -> list[Markup]:
    """How often calls were right, day by day, and the last day's one by one."""
    days, overall, latest = outcomes["days"], outcomes["overall"], outcomes["latest"]
    if not days:
        return [_lines(["No call of this service has a known outcome yet."])]
    parts = [_lines(_hits(days[-1], overall))]
    frame = pd.DataFrame(days).set_index("session")
    shares = pd.DataFrame(
        {
            "calls": frame["calls"],
            "called up": (frame["up"] / frame["calls"]).map("{:.0%}".format),
            "judged": frame["judged"],
            "right": [_share(d["right"], d["judged"]) for d in days],
            "rose": [_share(d["rose"], d["judged"]) for d in days],
        }
    ).rename_axis("called after the close of")
    right = frame["right"].cumsum() / frame["judged"].cumsum().clip(lower=1)
    if len(days) > 1:
        lines = {
            "right, each session": (frame.index, frame["right"] / frame["judged"].clip(lower=1)),
            "right, all so far": (frame.index, right),
            "called up": (frame.index, frame["up"] / frame["calls"]),
        }
        parts.append(charts.lines(lines, y="share of calls"))
    parts.append(page.table(shares.iloc[::-1], _ROWS))
    calls = pd.DataFrame(latest["calls"]).rename(columns=_WORDS)
    words = {True: "right", False: "wrong", None: "too small a move"}
    came = [words[c["right"]] for c in latest["calls"]]
    calls = calls.assign(**{"came out": came}).set_index("stock")
    calls["P(up)"] = calls["P(up)"].map("{:.1%}".format)
    calls["return"] = calls["return"].map("{:+.2%}".format)
    title = Markup("<h3>Calls after the close of {}, one by one</h3>").format(latest["session"])
    return [*parts, title, page.table(calls, _ROWS)]


def _hits(last: dict[str, Any], overall: dict[str, Any]) -> list[str]:
    """The last day's and all calls in a sentence each, and whether they take one side."""
    lines = [
        f"After {last['session']}: {last['right']} of {last['judged']} judged calls were right "
        f"({_share(last['right'], last['judged'])}); {last['up']} of {last['calls']} said up."
    ]
    if overall:
        low, high = overall["low"], overall["high"]
        interval = "too few days for an interval" if low is None else f"{low:.1%} to {high:.1%}"
        lines.append(
            f"The last {_sessions(overall['sessions'])}: {overall['right']:.1%} of "
            f"{overall['judged']:,} judged calls were right ({interval}). Calling up every time "
            f"would have been right in {overall['rose']:.1%}; {overall['up']:.1%} of the calls "
            f"said up."
        )
    share = last["up"] / last["calls"]
    if max(share, 1 - share) >= _ONE_SIDED:
        lines.append(
            f"Nearly all of that day's calls said {'up' if share > 0.5 else 'down'}: they are "
            f"one bet on the market, not {last['calls']} on stocks."
        )
    return lines


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _lines(texts: list[str]) -> Markup:
    return Markup("").join(Markup("<p>{}</p>").format(x[0].upper() + x[1:]) for x in texts if x)
