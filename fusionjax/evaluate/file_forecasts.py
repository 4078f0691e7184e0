"""A file's forecasts in the place of a run's."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data.samples import period
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate.forecast import merged
from fusionjax.evaluate.inference import Forecaster, Prediction, read_info
from fusionjax.forecast_files.reader import ForecastFile
from fusionjax.heads.base import Head
from fusionjax.heads.outside import Filled
from fusionjax.train.run import open_market

_DESCRIPTION = "forecasts.json"  # in the folder where forecasts without a run are scored
_NEVER = np.datetime64("2262-01-01", "D")


def forecast_targets(file: ForecastFile, config: Config) -> Config:
    """The config with the targets that a file forecasts, at its horizons and levels.

    Raises:
      InputError: it forecasts none of them.
    """
    filled = {name: _filled(file, head) for name, head in config.targets.items()}
    heads = {name: own[0].head for name, own in filled.items() if own is not None}
    if not heads:
        ahead = ", ".join(map(str, np.unique(file.horizon[file.row >= 0])[:9])) or "none"
        wanted = ", ".join(
            f"{name} at {' and '.join(map(str, head.horizons))}"
            for name, head in config.targets.items()
        )
        raise InputError(
            f"{file.path}: {file.name} forecasts {_contents(file)} at horizons of {ahead} "
            f"sessions, which are none of config.targets: {wanted}; give those, or set the "
            "targets' horizons"
        )
    return dataclasses.replace(config, targets=heads)


def beside(
    runs: Mapping[str, Forecaster], given: Sequence[ForecastFile], market: Market, config: Config
) -> dict[str, Forecaster]:
    """Runs, then files, by name.

    Args:
      runs: by name.
      given: the files.
      market: the data.
      config: of the first of them all.

    Raises:
      InputError: two have one name.
    """
    forecasters = dict(runs)
    windows = next((run.windows for run in runs.values()), None)
    for file in given:
        if file.name in forecasters:
            raise InputError(
                f"{file.path}: another forecaster is called {file.name} too; rename the file or "
                "the model in it"
            )
        windows = windows or _windows(market, config)
        forecasters[file.name] = FileForecasts(file, config, windows)
    return forecasters


def describe(folder: Path, config: Config) -> None:
    """Writes what ``described`` reads."""
    files.write_text(folder / _DESCRIPTION, json.dumps({"config": json.loads(config.to_json())}))


def config_of(folder: Path) -> Config:
    """The config of a run, or with which files of forecasts were scored.

    Raises:
      InputError: the folder is neither.
    """
    path = folder / _DESCRIPTION
    if not path.exists():
        return read_info(folder).config
    return Config.from_json(json.loads(path.read_text())["config"])


def described(folder: Path, config: Config) -> Windows:
    """Config, data and inputs of a scored folder, of a run or of files of forecasts.

    Args:
      folder: where the scores are.
      config: with the data to open and how to evaluate.

    Raises:
      InputError: neither a run nor forecasts were scored there.
    """
    path = folder / _DESCRIPTION
    if not path.exists():
        info = read_info(folder)
        config = merged(config, info.config)
        return Windows(open_market(config.data), config, info.scaler)
    config = dataclasses.replace(config, targets=config_of(folder).targets)
    return _windows(open_market(config.data), config)


class FileForecasts(Forecaster):
    """A file's forecasts of a config's targets, as far as it has them."""

    def __init__(self, file: ForecastFile, config: Config, windows: Windows) -> None:
        self.source = f"{file.name} ({file.path.name} sha256:{file.sha256})"
        self.config = config
        self.windows, self.seed_numbers = windows, ()
        self.learned = period(config.data, config.train.split)
        self._file, self._heads, self._notes = file, config.targets, [*file.notes]
        self._modalities = len(config.modalities)
        self._filled = {name: own for name in config.targets if (own := self._fill(name))}
        self.calls = frozenset(name for name, (own, _) in self._filled.items() if own.calls)
        market = windows.market
        after = np.minimum(file.row + 1, len(market.session) - 1)
        no_day = np.datetime64("NaT", "D")
        self._target = np.where(file.row >= 0, market.session[after], no_day)
        out_of_sample = self._target[~(file.trained_until >= self._target)]
        in_sample = self._target[file.trained_until >= self._target]
        self.since = np.fmin.reduce(out_of_sample, initial=_NEVER)
        if len(in_sample):
            self.since = max(self.since, in_sample.max() + 1)

    def predict_each(self, rows: Int64[np.ndarray, "S"]) -> list[Prediction]:
        """As if of one seed; NaN where the file has no forecast."""
        file, value = self._file, {}
        order = np.argsort(rows, kind="stable")
        for name, (own, has) in self._filled.items():
            horizons = self._heads[name].horizons
            out = np.full((len(rows), len(horizons), *own.value.shape[1:]), np.nan)
            for at, horizon in enumerate(horizons):
                mine = np.flatnonzero(has & (file.horizon == horizon))
                place = np.searchsorted(rows, file.row[mine], sorter=order)
                found = order[np.minimum(place, len(rows) - 1)]
                hit = rows[found] == file.row[mine]
                out[found[hit], at] = own.value[mine[hit]]
            value[name] = out
        return [Prediction(value, np.full((len(rows), self._modalities), np.nan))]

    def identity(self) -> list[str]:
        """The file's content, which of its models, and what was told of it."""
        return [self._file.sha256, self._file.name, str(self._file.told)]

    def remarks(self, name: str, scored: Shaped[np.ndarray, "S"]) -> list[str]:
        """Of its training period, what was assumed or is lacking, and its calibration."""
        until, first = self._file.trained_until, scored.min()
        inside = (self._target >= first) & (self._target <= scored.max())
        lines = [f"{name}: {note}" for note in self._notes]
        late = inside & (until >= self._target)
        if late.any():
            last = until[late].max()
            lines.append(f"IN SAMPLE: {name} was trained on days up to {last} that are scored")
        elif np.isnat(until[inside]).any():
            lines.append(
                f"{name}: until when it was trained is not told (--trained_until), so whether it "
                "saw these days is not known"
            )
        start = "inside this period: the file has no earlier forecast"
        if self.since < first:
            start = f"with the file's own forecasts from {self.since} on"
        return [*lines, f"{name}: calibration starts {start}"]

    def _fill(self, name: str) -> tuple[Filled, Bool[np.ndarray, "N"]] | None:
        """A target's values, if it has those of the config's head; else a note why not."""
        head, file = self._heads[name], self._file
        own = _filled(file, head)
        if own is None:
            return None  # the evaluation says so
        if dataclasses.replace(own[0].head, horizons=head.horizons) != head:
            self._notes.append(f"{name} is not compared, as it is forecast at other levels")
            return None
        if own[0].calls:
            self._notes.append(f"{name} is the side of a point forecast, without a probability")
        elif name == "direction" and file.given.up is None:
            self._notes.append(f"{name} is read off the quantiles of the return")
        return own


def _filled(file: ForecastFile, head: Head) -> tuple[Filled, Bool[np.ndarray, "N"]] | None:
    """The head as the file fills it, at the horizons that it has, and which rows have a value; None
    if there is none."""
    filled = head.filled(file.given)
    if filled is None:
        return None
    has = np.isfinite(filled.value).reshape(len(file.row), -1).all(1) & (file.row >= 0)
    horizons = tuple(h for h in head.horizons if (has & (file.horizon == h)).any())
    if not horizons:
        return None
    return dataclasses.replace(
        filled, head=dataclasses.replace(filled.head, horizons=horizons)
    ), has


def _contents(file: ForecastFile) -> str:
    given = file.given
    kinds = {
        "probabilities of up": given.up is not None,
        "quantiles of returns": bool(given.quantiles),
        "points of returns": given.point is not None,
        "volatilities": given.log_volatility is not None,
    }
    return " and ".join(k for k, has in kinds.items() if has) or "nothing that can be scored"


def _windows(market: Market, config: Config) -> Windows:
    """Inputs of the baselines beside forecasts of unknown origin, which learn from the config's
    training split."""
    _, last = period(config.data, config.train.split)
    return Windows(market, config, Scaler.fit(market, last))
