"""Fits experts walk-forward: a row's forecast comes from labels that were known before it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from fusionjax.config import DistillConfig
from fusionjax.data.samples import Samples, between
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError, nearest
from fusionjax.experts import features
from fusionjax.experts.cache import Cache, digest
from fusionjax.experts.learners import learners
from fusionjax.heads.base import Head, Scale, Scored
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.registry import EXPERTS
from fusionjax.telemetry import progress_bar

Task = tuple[str, int]  # a head's name, and the number of one of its horizons
_HELD_OUT = 0.2  # of the sessions known to a fit, the latest: they choose its setting


class Available:
    """All experts there are for each head and horizon, over the same windows.

    Args:
      windows: of the data, scaled as the model's.
      scale: the log volatility that rows are forecast by the experts of volatility.
      hidden: modalities that are missing from their inputs.
    """

    def __init__(
        self, windows: Windows, scale: Scale, hidden: frozenset[str] = frozenset()
    ) -> None:
        self.windows, self._scale = windows, scale
        # Of an expert that reads all modalities nothing could be told apart from the network.
        self._features = features.of_inputs(windows), features.of_series(windows, hidden)

    def of(self, task: Task) -> dict[str, Baseline]:
        """By name, the experts that ``distill.experts`` lists."""
        asked = self.windows.config.distill.experts
        return {name: e for name, e in self._all(task).items() if name in asked}

    def _all(self, task: Task) -> dict[str, Baseline]:
        name, at = task
        head: Head = self.windows.config.targets[name].one(at)
        of_users = (EXPERTS[e](name, head) for e in EXPERTS)
        experts = (
            *head.baselines(),
            *learners(head, *self._features),
            *head.scaled_experts(self._scale),
            *(e for e in of_users if e is not None),
        )
        return {e.name: e for e in experts}

    def require_known(self) -> None:
        """Checks the names in ``distill.experts``; a default one may be of a head that is not here.

        Raises:
          InputError: no head has an expert of that name.
        """
        config = self.windows.config
        known = {name: None for head in config.stacked_heads for name in self._all((head, 0))}
        for name in config.distill.experts:
            if name not in known and name not in DistillConfig().experts:
                raise InputError(
                    f"config.distill.experts names {name!r}; expected some of {', '.join(known)}"
                    f"{nearest(name, known)}"
                )


def fits(
    available: Available,
    task: Task,
    period: tuple[np.datetime64, np.datetime64],
    untils: Shaped[np.ndarray, "K"],
    cache: Path,
) -> list[dict[str, Learned]]:
    """What the experts of a task learned by each of some days, by their names.

    Args:
      available: the experts.
      task: whose labels are learned.
      period: first target day, and last day of anything that is learned.
      untils: datetime64[D], ascending; the last is the end of the period.
      cache: folder of what was learned before.
    """
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_limits

    experts, windows = available.of(task), available.windows
    kept = Cache(cache)
    pasts = [_Past.of(windows, task, period[0], until) for until in untils]

    def one(name: str, past: _Past) -> Learned:
        key = past.key(experts[name])
        learned = kept.read(key)
        if learned is None:
            learned = past.fit(experts[name])
            kept.write(key, learned)
        return learned

    for expert in experts.values():
        expert.prepare(pasts[-1].all.row)  # once, not in every thread
    jobs = [(name, past) for name in experts for past in pasts]
    title = f"experts of {task[0]} {windows.config.targets[task[0]].horizons[task[1]]}d"
    results = []
    with progress_bar() as bar, threadpool_limits(1):
        shown = bar.add_task(title, total=len(jobs), note="")
        parallel = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
        for learned, (name, _) in zip(parallel(delayed(one)(*j) for j in jobs), jobs, strict=True):
            bar.update(shown, advance=1, note=name)
            results.append(learned)
    by_expert = np.arange(len(jobs)).reshape(len(experts), len(pasts))
    return [
        {name: results[by_expert[i, k]] for i, name in enumerate(experts)}
        for k in range(len(pasts))
    ]


@dataclasses.dataclass(frozen=True)
class _Past:
    """What is known of a task by a day: samples to learn from, and to choose a setting by."""

    until: np.datetime64
    all: Scored
    before: Scored
    before_until: np.datetime64
    after: Scored

    @staticmethod
    def of(windows: Windows, task: Task, first: np.datetime64, until: np.datetime64) -> "_Past":
        market, config = windows.market, windows.config
        samples = between(market, config, first, until)
        decided = market.session[samples.row]
        days = np.unique(decided)
        cut = days[int(len(days) * (1 - _HELD_OUT))] if len(days) else until

        def scored(part: Samples) -> Scored:
            return Scored.of(task[0], part, market, config, task[1])

        early = between(market, config, first, cut)
        late = samples.take(decided > cut)
        return _Past(until, scored(samples), scored(early), cut, scored(late))

    def fit(self, expert: Baseline) -> Learned:
        """Chooses the setting on the latest sessions and fits it to all."""
        setting = expert.settings[0]
        if len(expert.settings) > 1 and self.before.known.any() and self.after.known.any():
            losses = {}
            k, market = self.after.known, self.after.market
            for group in expert.groups:
                fitted = expert.fit_group(self.before, self.before_until, group)
                for candidate, learned in zip(group, fitted, strict=True):
                    value = expert.forecast(learned, market, self.after.row[k])
                    losses[candidate] = expert.loss(value, self.after.label[k]).mean()
            setting = min(expert.settings, key=lambda s: losses[s])
        return expert.fit(self.all, self.until, setting)

    def key(self, expert: Baseline) -> dict[str, Any]:
        """All that decides what an expert learns."""
        fields = {f.name: getattr(expert, f.name) for f in dataclasses.fields(expert)}
        fields.pop("features", None)
        return {
            "data": self.all.market.fingerprint,
            "until": str(self.until),
            "labels": digest(self.all.row, self.all.known, self.all.label),
            "expert": f"{type(expert).__name__} {fields}",
            "inputs": expert.inputs(self.all.row),
        }
