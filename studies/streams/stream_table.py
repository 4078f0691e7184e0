"""The rules of a stream side by side: scores, forgetting and cost."""

import numpy as np

from fusionjax.data.samples import between
from fusionjax.evaluate import leaks, scoring
from fusionjax.evaluate.inference import mean
from fusionjax.evaluate.losses import sample_losses
from fusionjax.evaluate.table import Grid
from fusionjax.scores import metrics
from fusionjax.scores.intervals import Score
from studies.streams.stream import Stream, StreamResult

_SHOWN = ("IC", "RankIC", "MCC")
_AGAINST = "retrain"  # the rule that all others are compared with, in pairs


def grid(stream: Stream, results: dict[str, list[StreamResult]]) -> Grid:
    """A row a rule: scores of the seeds' mean forecast with intervals, of one seed with its spread.

    Args:
      stream: that was run.
      results: by rule, each seed's.
    """
    samples, config = stream.samples, stream.config
    task = scoring.tasks(samples, stream.market, config)["direction"]
    period = scoring.Period.of(task, samples)
    every_sample = np.ones(len(samples), bool)

    def scores(up: np.ndarray) -> dict[str, Score]:
        every_score = task.scores(up, every_sample, True)
        return {k: every_score[k] for k in _SHOWN}

    averaged = {
        rule: scores(task.values(mean([x.prediction for x in each])))
        for rule, each in results.items()
    }
    values = {rule: period.values(scored) for rule, scored in averaged.items()}
    full = results.get(_AGAINST)
    rows = []
    for rule, each in results.items():
        single_seeds = [scores(task.values(x.prediction)) for x in each]
        cells = []
        for k in _SHOWN:
            value = values[rule][k]
            low, high = period.estimate(k, averaged[rule][k], value).interval()
            points = np.array([metrics.point(s[k], period.days) for s in single_seeds])
            cells.append(
                f"{value:+.3f} [{low:+.3f}, {high:+.3f}], "
                f"one seed {points.mean():+.3f} ± {points.std(ddof=min(1, len(points) - 1)):.3f}"
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
                f"{k}: {period.paired(k, averaged[rule][k], averaged[_AGAINST][k])[0]}"
                for k in ("IC", "MCC")
            )
        updates, refused = (np.mean([getattr(x, w) for x in each]) for w in ("updates", "refused"))
        rows.append(
            [
                rule,
                *cells,
                f"{forgot.mean():+.4f} ± {forgot.std(ddof=min(1, len(forgot) - 1)):.4f}",
                f"{updates:.0f}" + (f", {refused:.0f} refused" if refused else ""),
                share,
                _each(each),
                verdicts,
            ]
        )
    first, last = samples.target_day.min(), samples.target_day.max()
    title = (
        f"{config.name}: {len(samples):,} samples, {first} to {last}; "
        f"{len(next(iter(results.values())))} seed(s), 95 % intervals over days"
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


def losses(stream: Stream, results: dict[str, list[StreamResult]]) -> dict[str, float]:
    """The mean losses of each rule's averaged seeds, by rule and loss."""
    samples, heads = stream.samples, stream.config.targets
    return {
        f"{rule}: {loss}": float(np.nanmean(values))
        for rule, each in results.items()
        for loss, values in sample_losses(
            mean([x.prediction for x in each]), samples, heads
        ).items()
    }


def alarms(stream: Stream, results: dict[str, list[StreamResult]]) -> list[str]:
    """The leak alarms of every rule's mean forecast."""
    market, config, first = stream.market, stream.config, stream.info.trained_from
    train = between(market, config, np.datetime64(first, "D"), stream.known)
    return [
        line
        for rule, each in results.items()
        for line in leaks.of_prediction(
            rule, mean([x.prediction for x in each]), train, stream.samples, market, config
        )
    ]


def _each(results: list[StreamResult]) -> str:
    """Mean cost of one update of a rule."""
    updates = sum(x.updates for x in results)
    if not updates:
        return "–"
    seconds, flops = (sum(getattr(x, what) for x in results) for what in ("seconds", "flops"))
    return f"{seconds / updates:.2g} s, {flops / updates:.2g}"
