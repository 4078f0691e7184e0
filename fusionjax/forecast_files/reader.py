"""Reads a file of forecasts, one entry for each model in it. The file is not trusted."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped

from fusionjax.config import DataConfig
from fusionjax.data import calendar, schema
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.forecast_files.columns import Column, Header, scaled, understood
from fusionjax.forecast_files.rows import placed, refuse, times
from fusionjax.forecast_files.values import Values
from fusionjax.heads.outside import Given

_SUFFIXES = (".csv", ".parquet", ".jsonl")
_LARGEST = 2_000_000_000  # bytes of a file
_NAME = re.compile(r"[\w .+()=@-]{1,80}")  # of a model: it becomes part of tables and messages
_SHOWN = ("symbol", "decision_time", "target_date", "horizon")  # of a row, in messages


@dataclasses.dataclass(frozen=True)
class Told:
    """What the user says of files that do not say it themselves.

    Attributes:
      scale: of columns whose name says none; one of ``columns.RETURNS``.
      trained_until: the last day that the forecasts may have learned from.
    """

    scale: str | None = None
    trained_until: str | None = None


@dataclasses.dataclass(frozen=True)
class ForecastFile:
    """One model's forecasts, a row each, placed at the market's bars and in the labels' units.

    Attributes:
      name: of the model: the file's, or what a column says.
      path: of the file.
      sha256: of the file.
      told: what the file did not say itself.
      row: of the market; -1 outside it.
      horizon: in sessions; 0 where it cannot be known.
      given: the forecasts.
      trained_until: datetime64[D], the last day that each forecast may have learned from; NaT
        unless told.
      notes: what was assumed or not read.
    """

    name: str
    path: Path
    sha256: str
    told: Told
    row: Int64[np.ndarray, "N"]
    horizon: Int64[np.ndarray, "N"]
    given: Given
    trained_until: Shaped[np.ndarray, "N"]
    notes: tuple[str, ...]


def read(path: Path, market: Market, data: DataConfig, told: Told = Told()) -> list[ForecastFile]:
    """Reads and checks a CSV, parquet or JSON-lines file; ``columns`` says what it may hold.

    Args:
      path: of the file.
      market: the data.
      data: for the exchange's clock.
      told: what the file does not say itself.

    Returns:
      One entry for each model, in the order of the file.

    Raises:
      InputError: naming file, row or column, what was expected and what to do.
    """
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path}: ends in {path.suffix!r}; expected {', '.join(_SUFFIXES)}")
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise InputError(
            f"{path}: has {path.stat().st_size:,} bytes; expected at most {_LARGEST:,}: keep the "
            "days to score, or write parquet"
        )
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path}: is empty; expected a header and a row for each forecast")
    table = schema.read_table(path)
    table.columns = table.columns.map(str)
    header = understood(table.columns, path)
    if table.empty:
        raise InputError(f"{path}: holds no rows; expected one for each symbol, day and horizon")
    header = scaled(header, _scale(table, header, told, path), path)
    with path.open("rb") as f:
        sha256 = hashlib.file_digest(f, "sha256").hexdigest()
    reader = _Reader(path, sha256, market, data, told, header)
    return [reader.model(*each) for each in _models(table, header, path)]


@dataclasses.dataclass(frozen=True)
class _Reader:
    """What all models of a file share."""

    path: Path
    sha256: str
    market: Market
    data: DataConfig
    told: Told
    header: Header

    def model(self, name: str, keys: pd.DataFrame, cells: dict[Column, pd.Series]) -> ForecastFile:
        """One model's forecasts.

        Args:
          name: of the model.
          keys: of its rows, by their names of ``columns.KEYS``.
          cells: of each column of its forecasts.
        """
        path, zone = self.path, calendar.zone(self.data.calendar)
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{path}: a model is called {name[:90]!r}; expected at most 80 letters, digits, "
                "spaces or any of . + - = @ ( )"
            )
        row, horizon, unzoned = placed(keys, self.market, zone, path)
        shown = keys[[c for c in _SHOWN if c in keys]]
        again = pd.DataFrame({"row": row, "horizon": horizon}).duplicated().to_numpy() & (row >= 0)
        why = f"{name} has another forecast of this symbol, session and horizon; keep one"
        refuse(shown, again, path, why)
        step = "step {} of a path of returns is the return of one session, not of all up to it"
        way = "keep horizon 1, forecast prices, or call the columns return_…"
        why = f"{step.format(horizon.max(initial=0))}; {way}"
        refuse(shown, self.header.steps & (horizon > 1), path, why)
        notes = []
        if unzoned:
            notes.append(f"times without a zone are read in {zone}")
        if outside := int((row < 0).sum()):
            notes.append(f"{outside:,} rows lie outside the days of the data and are not read")
        if self.header.unread:
            notes.append(f"columns that are not read: {', '.join(self.header.unread[:9])}")
        given = Values(path, self.market, shown, row, horizon).given(
            {c: schema.numbers(pd.DataFrame({c.name: x}), c.name, path) for c, x in cells.items()}
        )
        until = self._trained_until(keys)
        return ForecastFile(
            name, path, self.sha256, self.told, row, horizon, given, until, tuple(notes)
        )

    def _trained_until(self, keys: pd.DataFrame) -> Shaped[np.ndarray, "N"]:
        """The last day of training of each row; NaT if not told."""
        column = "trained_until"
        days = keys.get(column, self.told.trained_until)
        if days is None:
            return np.full(len(keys), np.datetime64("NaT", "D"))
        table = pd.DataFrame({column: days}, index=keys.index)
        return times(table, column, calendar.zone(self.data.calendar), self.path)[0]


def _scale(table: pd.DataFrame, header: Header, told: Told, where: Path) -> str | None:
    """The scale of columns that name none: the file's own, else what was told."""
    if "scale" not in header.keys:
        return told.scale
    scales = table[header.keys["scale"]].dropna().unique()
    if len(scales) != 1:
        raise InputError(
            f"{where}: column scale holds {len(scales)} values; expected one for the whole file"
        )
    return str(scales[0])


def _models(
    table: pd.DataFrame, header: Header, where: Path
) -> Iterator[tuple[str, pd.DataFrame, dict[Column, pd.Series]]]:
    """Name, keys and cells of each model: by the column ``model`` and by the columns' names."""
    keys = table[[*header.keys.values()]].set_axis([*header.keys], axis=1)
    groups = {"": np.ones(len(table), bool)}
    if "model" in keys:
        refuse(keys, keys["model"].isna().to_numpy(), where, "model is empty; name all, or none")
        names = keys["model"].astype(str)
        groups = {name: (names == name).to_numpy() for name in names.unique()}
    for group, mask in groups.items():
        for model in dict.fromkeys(c.model for c in header.forecasts):
            cells = {c: table.loc[mask, c.name] for c in header.forecasts if c.model == model}
            yield " ".join(filter(None, (group, model))) or where.stem, keys[mask], cells
