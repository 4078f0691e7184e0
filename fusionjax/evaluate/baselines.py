"""Fits baselines, tuned on the same folds as the model, on all cores; what they learn is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.data.samples import Samples
from fusionjax.data.windows import Windows
from fusionjax.experts import features
from fusionjax.experts.cache import Cache, described, digest
from fusionjax.experts.learners import learners
from fusionjax.experts.walk_forward import Task
from fusionjax.heads.base import Head, Scored
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.telemetry import progress_bar

FoldSamples = tuple[Samples, Samples]


class Baselines:
    """Baselines of one training set, which forecast the same rows for all heads.

    Args:
      windows: of the data, scaled as the model's.
      train: the training samples.
      folds: of them.
      rows: to forecast.
      last: the last day that may be looked at.
      cache: folder for what is learned; None keeps nothing.
    """

    def __init__(
        self,
        windows: Windows,
        train: Samples,
        folds: list[FoldSamples],
        rows: Int64[np.ndarray, "S"],
        last: np.datetime64,
        cache: Path | None = None,
    ) -> None:
        self._windows, self._train, self._folds = windows, train, folds
        self._rows, self._last = rows, last
        self._cache = None if cache is None else Cache(cache)
        self._read = features.Inputs.of(windows)

    def fitted(
        self, name: str, head: Head, at: int = 0
    ) -> dict[str, Float[np.ndarray, "S *value"]]:
        """Values at the rows by the name of each fitted baseline, of a head of one horizon: the
        horizon number ``at`` of the config's head ``name``."""
        task = name, at
        baselines = (*head.baselines(), *learners(head, self._read))
        kept = {b.name: self._kept(task, b) for b in baselines}
        learned = {known: x for known, x in kept.items() if x is not None}
        learned |= self._fit_all(task, [b for b in baselines if b.name not in learned])
        market = self._windows.market
        return {b.name: b.forecast(learned[b.name], market, self._rows) for b in baselines}

    def _kept(self, task: Task, baseline: Baseline) -> Learned | None:
        return None if self._cache is None else self._cache.read(self._key(task, baseline))

    def _fit_all(self, task: Task, missing: list[Baseline]) -> dict[str, Learned]:
        """Fits and keeps baselines one after the other; shows which, and how long that takes."""
        from threadpoolctl import threadpool_limits

        learned: dict[str, Learned] = {}
        if not missing:
            return learned
        # One thread of linear algebra a fit: sums then do not depend on how many cores there are.
        with progress_bar() as bar, threadpool_limits(1):
            total = sum(1 + self._fold_fits(b) for b in missing)
            shown = bar.add_task(f"baselines of {self._title(task)}", total=total, note="")
            for baseline in missing:
                bar.update(shown, note=baseline.name)
                learned[baseline.name] = self._fit(task, baseline, lambda: bar.advance(shown))
                if self._cache is not None:
                    self._cache.write(self._key(task, baseline), learned[baseline.name])
        return learned

    def _title(self, task: Task) -> str:
        name, at = task
        return f"{name} {self._windows.config.targets[name].horizons[at]}d"

    def _fold_fits(self, baseline: Baseline) -> int:
        """How many calls of ``fit_group`` choose the setting."""
        return len(baseline.groups) * len(self._folds) if len(baseline.settings) > 1 else 0

    def _fit(self, task: Task, baseline: Baseline, advance: Callable[[], None]) -> Learned:
        """Fits each setting on each fold, and the best one on all samples."""
        setting = baseline.settings[0]
        if len(baseline.settings) > 1:
            losses = dict.fromkeys(baseline.settings, 0.0)
            for group, of_fold in self._on_folds(task, baseline):
                advance()
                for candidate, loss in zip(group, of_fold, strict=True):
                    losses[candidate] += loss
            setting = min(baseline.settings, key=lambda s: losses[s])
        learned = baseline.fit(self._scored(task, self._train), self._last, setting)
        advance()
        return learned

    def _on_folds(self, task: Task, baseline: Baseline) -> Any:
        """Each group of settings with its losses on a fold, in a fixed order, from all cores."""
        from joblib import Parallel, delayed

        market = self._windows.market
        pairs = [tuple(self._scored(task, s) for s in fold) for fold in self._folds]

        def losses(group: tuple, before: Scored, after: Scored) -> tuple[tuple, list[float]]:
            last = before.target_day.max()
            k = after.known
            each = (
                baseline.forecast(learned, market, after.row[k])
                for learned in baseline.fit_group(before, last, group)
            )
            return group, [float(baseline.loss(x, after.label[k]).mean()) for x in each]

        baseline.prepare(self._train.row)  # once, not in every thread
        jobs = (delayed(losses)(group, *pair) for group in baseline.groups for pair in pairs)
        # Threads share the features; LightGBM and LAPACK run without the interpreter's lock.
        return Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)

    def _scored(self, task: Task, samples: Samples) -> Scored:
        return Scored.of(task[0], samples, self._windows.market, self._windows.config, task[1])

    def _key(self, task: Task, baseline: Baseline) -> dict[str, Any]:
        """All that decides what a baseline learns; of a learner's inputs, some rows' features."""
        train = self._scored(task, self._train)
        return {
            "data": self._windows.market.fingerprint,
            "last": str(self._last),
            "labels": digest(train.row, train.known, train.label),
            "folds": [digest(a.row, b.row) for a, b in self._folds],
            "baseline": described(baseline),
            "inputs": self._inputs(baseline),
        }

    def _inputs(self, baseline: Baseline) -> str:
        """The modalities, how they are scaled, and what some training rows then look like; empty
        for a baseline that reads the market alone."""
        w, features = self._windows, baseline.inputs(self._train.row)
        return features and f"{w.config.modalities} {w.scaler} {features}"
