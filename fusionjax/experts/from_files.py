"""Experts whose forecasts another model wrote to a file; they count after the day it had read."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int64

from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.experts.cache import digest
from fusionjax.forecast_files import reader
from fusionjax.forecast_files.reader import ForecastFile
from fusionjax.heads.base import Head, Scored
from fusionjax.heads.baseline import Baseline, Learned


@dataclasses.dataclass(frozen=True)
class Declared:
    """An entry of ``distill.expert_files``, and what its file holds.

    Attributes:
      name: of the entry.
      read_until: datetime64[D], the last day that the model behind the file had read.
      market: the data.
      file: the forecasts.
      counts: of the file's rows, those of a later session.
    """

    name: str
    read_until: np.datetime64
    market: Market
    file: ForecastFile
    counts: Bool[np.ndarray, "N"]

    @staticmethod
    def read(name: str, config: Config, market: Market) -> "Declared":
        """Reads the file of an entry.

        Raises:
          InputError: it cannot be read, or holds several models and none of this name.
        """
        path, day = config.distill.expert_files[name]
        models = {file.name: file for file in reader.read(Path(path), market, config.data)}
        if len(models) > 1 and name not in models:
            raise InputError(
                f"{path}: holds the models {', '.join(models)}; expected one, or one called "
                f"{name!r}: give the entry of config.distill.expert_files the model's name"
            )
        file = models[name] if name in models else next(iter(models.values()))
        session, read_until = market.session[np.maximum(file.row, 0)], np.datetime64(day, "D")
        # The file's own column trained_until may be later; NaT, if it has none, is never greater.
        counts = (file.row >= 0) & (session > read_until) & ~(file.trained_until > session)
        return Declared(name, read_until, market, file, counts)

    def expert(self, head: Head) -> "FromFile | None":
        """The expert of a head of one horizon; None if no forecast of it counts.

        The side of a point is no probability, and quantiles at other levels are no value.
        """
        filled, judges = head.filled(self.file.given), head.baselines()
        if filled is None or filled.calls or filled.head != head or not judges:
            return None
        finite = np.isfinite(filled.value).reshape(len(self.counts), -1).all(1)
        at = np.flatnonzero(self.counts & finite & (self.file.horizon == head.horizons[0]))
        at = at[np.argsort(self.file.row[at])]
        if not len(at):
            return None
        given = Forecasts(self.file, self.market, self.file.row[at], filled.value[at])
        return FromFile(self.name, judge=judges[0], features=given)

    def require_weighable(self, meta: Int64[np.ndarray, "S"]) -> None:
        """Checks that a forecast counts on a row of the meta set.

        Raises:
          InputError: none does.
        """
        if np.isin(meta, self.file.row[self.counts]).any():
            return
        session, rows = self.market.session, self.file.row[self.file.row >= 0]
        made = f"{session[rows].min()} to {session[rows].max()}" if len(rows) else "no day"
        raise InputError(
            f"{self.file.path}: forecasts {made} of the data, by a model that had read until "
            f"{self.read_until}; expected forecasts after that day in the meta set, "
            f"{session[meta].min()} to {session[meta].max()}, which weighs experts: add them, or "
            f"drop config.distill.expert_files.{self.name}"
        )


@dataclasses.dataclass(frozen=True)
class Forecasts:
    """A file's forecasts of one head and horizon.

    Attributes:
      file: where they are from.
      market: the data.
      row: of the market, ascending.
      value: in the units of the head's values.
    """

    file: ForecastFile
    market: Market
    row: Int64[np.ndarray, "K"]
    value: Float[np.ndarray, "K *value"]

    def __call__(self, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S *value"]:
        """Those of some rows; NaN where the file has none."""
        at = np.minimum(np.searchsorted(self.row, rows), len(self.row) - 1)
        found = (self.row[at] == rows).reshape(len(rows), *(1,) * (self.value.ndim - 1))
        return np.where(found, self.value[at], np.nan)

    def sum_until(self, last: np.datetime64) -> str:
        """A sum of the forecasts made up to a day, whatever came later."""
        past = self.market.session[self.row] <= last
        return digest(self.row[past], self.value[past])


@dataclasses.dataclass(frozen=True)
class FromFile(Baseline):
    """Learns nothing: what it keeps tells whether the file is still the same.

    Attributes:
      judge: a baseline of the same head, whose loss is taken.
      features: the forecasts.
    """

    lacks_rows: ClassVar[bool] = True

    judge: Baseline = dataclasses.field(kw_only=True)
    features: Forecasts = dataclasses.field(kw_only=True)

    def inputs(self, rows: np.ndarray) -> str:
        return f"{self.features.file.sha256} {digest(self.features.row, self.features.value)}"

    def fit(self, train: Scored, last: np.datetime64, setting: None) -> Learned:
        """Sums of the file and of the forecasts that could be learned from."""
        return {
            "sha256": np.array(self.features.file.sha256),
            "last": np.array(last, "datetime64[D]"),
            "past": np.array(self.features.sum_until(last)),
        }

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return self.features(rows)

    def loss(self, value: np.ndarray, label: np.ndarray) -> np.ndarray:
        """That of the head's other experts."""
        return self.judge.loss(value, label)

    def require_unchanged(self, fits: Iterable[Learned]) -> None:
        """Checks that the file is that of a training, to which later forecasts may be added.

        Raises:
          InputError: a forecast that was learned from is another one now.
        """
        file = self.features.file
        for learned in fits:
            last = np.datetime64(str(learned["last"]), "D")
            if str(learned["sha256"]) == file.sha256:
                continue
            if str(learned["past"]) != self.features.sum_until(last):
                raise InputError(
                    f"{file.path}: has sha256 {file.sha256[:12]} and other forecasts up to {last} "
                    f"than the file of the training, {str(learned['sha256'])[:12]}; expected the "
                    "same, with later ones at most added: restore it, or train again"
                )
