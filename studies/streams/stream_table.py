"""The rules of a stream side by side: what each is worth, forgets and costs."""

import numpy as np

from fusionjax.evaluate import scoring
from fusionjax.evaluate.inference import mean
from fusionjax.evaluate.table import Grid
from fusionjax.scores import bootstrap, metrics
from fusionjax.scores.bootstrap import Draws
from studies.streams.stream import Lived, Stream

_SHOWN = ("IC", "RankIC", "MCC")
_AGAINST = "retrain"  # what every rule is compared with, in pairs, and whose cost is 1


def grid(stream: Stream, lived: dict[str, list[Lived]]) -> Grid:
    """A row a rule: scores of the seeds' mean forecast with intervals, of one seed with its spread.

    Args:
      stream: that was lived.
      lived: by rule, each seed.
    """
    asked, c = stream.asked, stream.config
    days = len(np.unique(asked.target_day))
    task = scoring.tasks(asked, stream.market, c)["direction"]
    draws, all_ = Draws.of_days(days, task.head.horizons[0], c), np.ones(len(asked), bool)

    def scores(up: np.ndarray) -> dict[str, bootstrap.Score]:
        found = task.scores(up, all_, True)
        return {k: found[k] for k in _SHOWN}

    whole = {rule: scores(task.said(mean([x.said for x in each]))) for rule, each in lived.items()}
    drawn = {rule: {k: s(draws) for k, s in found.items()} for rule, found in whole.items()}
    full = lived.get(_AGAINST)
    rows = []
    for rule, each in lived.items():
        alone = [scores(task.said(x.said)) for x in each]
        cells = []
        for k in _SHOWN:
            low, high = bootstrap.interval(drawn[rule][k])
            one = np.array([metrics.point(s[k], days) for s in alone])
            cells.append(
                f"{metrics.point(whole[rule][k], days):+.3f} [{low:+.3f}, {high:+.3f}], "
                f"one seed {one.mean():+.3f} ± {one.std(ddof=min(1, len(one) - 1)):.3f}"
            )
        forgot = np.array([x.forgotten for x in each])
        share = "–"
        if full is not None:
            cost = (sum(getattr(x, what) for x in each) for what in ("seconds", "flops"))
            base = (sum(getattr(x, what) for x in full) for what in ("seconds", "flops"))
            share = " / ".join(f"{100 * a / b:.2f} %" for a, b in zip(cost, base, strict=True))
        verdicts = "–"
        if rule != _AGAINST and full is not None:
            verdicts = ", ".join(
                f"{k}: {bootstrap.verdict(drawn[rule][k], drawn[_AGAINST][k], True)}"
                for k in ("IC", "MCC")
            )
        made, refused = (np.mean([getattr(x, w) for x in each]) for w in ("updates", "refused"))
        rows.append(
            [
                rule,
                *cells,
                f"{forgot.mean():+.4f} ± {forgot.std(ddof=min(1, len(forgot) - 1)):.4f}",
                f"{made:.0f}" + (f", {refused:.0f} refused" if refused else ""),
                share,
                _each(each),
                verdicts,
            ]
        )
    first, last = asked.target_day.min(), asked.target_day.max()
    title = (
        f"{c.name}: {len(asked):,} samples, {first} to {last}; {len(next(iter(lived.values())))} "
        "seed(s), 95 % intervals from a day-block bootstrap"
    )
    columns = [
        "",
        *_SHOWN,
        "forgetting (rise of old loss)",
        "updates",
        f"seconds / FLOPs of {_AGAINST}",
        "an update: seconds, FLOPs",
        f"against {_AGAINST}, paired",
    ]
    return title, columns, rows


def _each(lived: list[Lived]) -> str:
    """What one update of a rule costs on average."""
    updates = sum(x.updates for x in lived)
    if not updates:
        return "–"
    seconds, flops = (sum(getattr(x, what) for x in lived) for what in ("seconds", "flops"))
    return f"{seconds / updates:.2g} s, {flops / updates:.2g}"
