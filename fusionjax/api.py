"""A trained run in Python: forecasts, scores, explanations and updates as data frames.

The commands call the same functions. ``import fusionjax`` offers these names and imports JAX only
once one of them is used.
"""

import contextlib
import dataclasses
import functools
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fusionjax import configs
from fusionjax import ledger as records
from fusionjax.adapt import finetune
from fusionjax.adapt.promotion import PromotionDecision
from fusionjax.config import Config
from fusionjax.config import file as config_file
from fusionjax.data import provenance
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import (
    coreset,
    diagnostics,
    evaluation,
    explanation,
    export,
    file_forecasts,
    forecast,
    readings,
)
from fusionjax.evaluate.inference import Ensemble, read_info, seed_folders
from fusionjax.evaluate.table import Scores
from fusionjax.parallel import mesh, processes
from fusionjax.telemetry import say
from fusionjax.train import extension
from fusionjax.train.hooks.metrics import last_metrics
from fusionjax.train.loop import StopOnSignal
from fusionjax.train.run import open_market

LEDGER = Path("runs/ledger")
LAST = forecast.LAST
# Columns of frames as other packages name them.
_SYNONYMS = {"unique_id": "symbol", "ds": "date", "y": "close"}
_TEXT_SYNONYMS = {"unique_id": "symbol", "ds": "available_time"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
      folder: of the run (all its seeds) or of one seed.
      config: its own, or the one that it is used with.
      ledger: folder of the records of all runs.
      promotion: of a child, what the gate decided; None if it was not asked.
      keep: whether its calibration is kept in its folder, see ``evaluate.calibration_state``.
    """

    folder: Path
    config: Config
    ledger: Path = LEDGER
    promotion: PromotionDecision | None = None
    keep: bool = True

    @functools.cached_property
    def market(self) -> Market:
        """The prepared data; prepared first where it is not."""
        return open_market(self.config.data)

    @functools.cached_property
    def _ensemble(self) -> Ensemble:
        return Ensemble(self.folder, self.config, self.market)

    def forecasts(
        self,
        symbols: str | Iterable[str] | None = None,
        at: str | Iterable[str] = LAST,
        *,
        without: Iterable[str] = (),
    ) -> list[dict[str, Any]]:
        """A record of all heads for each symbol and time, nested, as ``fusionjax predict`` prints.

        Args:
          symbols: as in the data; None for all.
          at: dates or ISO timestamps (UTC unless they carry a zone), or ``"last"``: each symbol's
            newest bar.
          without: modalities that are treated as missing.

        Raises:
          InputError: an unknown symbol or modality, an unreadable time or one without data.
        """
        market = self.market
        names = market.symbols if symbols is None else _several(symbols)
        rows = [
            forecast.row_at(market, self.config.data, name, moment)
            for name in names
            for moment in _several(at)
        ]
        hidden = frozenset(without)
        found = forecast.forecast(self._ensemble, market, self.config, rows, hidden, keep=self.keep)
        return provenance.with_encoders(found, market, self.config)

    def predict(
        self,
        symbols: str | Iterable[str] | None = None,
        at: str | Iterable[str] = LAST,
        *,
        without: Iterable[str] = (),
        bars: pd.DataFrame | None = None,
        texts: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Forecasts as a frame in long form: a row for each symbol and time, columns such as
        ``direction.1d.up`` and ``daily_volatility.5d``. ``forecast_day.1d`` is the session that is
        forecast; ``calibrated.up`` is ``direction.1d.up`` corrected by labels that matured since
        training, and what ``call`` is made by.

        Args:
          symbols: see ``forecasts``.
          at: see ``forecasts``.
          without: see ``forecasts``.
          bars: in place of the run's data: symbol, date, open, high, low, close, adj_close, volume
            (or unique_id, ds, y) and the further channels that the run reads, with the history that
            its longest window needs.
          texts: symbol, event_time, available_time, text, in place of the run's texts; with bars.

        Raises:
          InputError: see ``forecasts``; or a frame lacks columns.
        """
        if bars is None and texts is not None:
            raise InputError("texts come with bars; give bars=FRAME too")
        with contextlib.ExitStack() as stack:
            run = self if bars is None else stack.enter_context(self._on_frames(bars, texts))
            found = run.forecasts(symbols, at, without=without)
        return pd.json_normalize(found)

    def explain(self, symbol: str, at: str = LAST) -> pd.DataFrame:
        """What each part of the inputs contributes to one forecast, against other samples' content
        in its place: a row for each modality, channel, session, document, patch and expert; see
        ``evaluate.explanation``. Arguments and errors as of ``explanation``."""
        return self.explanation(symbol, at).frame()

    def explanation(self, symbol: str, at: str = LAST) -> explanation.Explanation:
        """What ``explain`` says, as an object with ``to_json`` and, in words, ``lines``.

        Args:
          symbol: as in the data.
          at: see ``forecasts``.

        Raises:
          InputError: see ``forecasts``; or the data hold no other sample that could stand in.
        """
        row = forecast.row_at(self.market, self.config.data, symbol, at)
        return explanation.explain(self._ensemble, self.market, self.config, row)

    def export(self, folder: str | Path) -> dict[str, Any]:
        """Writes an artefact that forecasts without the training stack; returns its manifest.

        Args:
          folder: to write; it must not exist.

        Raises:
          InputError: it does, or the extra ``serve`` is not installed.
        """
        return export.export(self._ensemble, self.market, self.config, Path(folder))

    def evaluate(self, split: str | None = None) -> pd.DataFrame:
        """Scores the run beside every baseline; writes tables and outcomes into its folder.

        Args:
          split: of ``config.data.splits``; ``config.evaluate.split`` if None.

        Returns:
          A row for each head, horizon and forecaster: every metric, and the verdict of the run
          against it.

        Raises:
          InputError: no sample to score, or a locked hold-out that was read before.
        """
        scores = self.scores(split)
        return pd.DataFrame(
            {"target": t.target, "horizon": t.horizon, "variant": t.variant, "samples": t.samples,
             "forecaster": row.name, **row.values, "verdict": row.verdict}
            for t in scores.tables
            for row in t.rows
        )  # fmt: skip

    def scores(self, split: str | None = None) -> Scores:
        """The tables of ``evaluate`` with their intervals, and the lines above them."""
        config = self._scored_on(split)
        runs = {str(self.folder): self._ensemble}
        evaluated = evaluation.evaluate(runs, self.market, config, self.ledger)
        evaluation.publish(evaluated, config, self.folder)
        return evaluated.scores

    def report(self, split: str | None = None) -> Path:
        """Writes the HTML page of a scored split; returns its path.

        Raises:
          InputError: the split was not scored.
        """
        return write_page(self.folder, self._scored_on(split), self.ledger)

    def finetune(
        self, data: str | Path | None = None, *, folder: str | Path | None = None
    ) -> "Run":
        """A child run on the labels that matured since this one's last.

        Args:
          data: folder of the raw files that hold them; ``config.data.root`` if None.
          folder: of the child; this one's name with ``_finetuned`` if None.

        Raises:
          InputError: no label has matured, or the data do not fit the run.
        """
        config = self.config.override({} if data is None else {"data.root": str(data)})
        folder = Path(folder or self.folder.with_name(f"{self.folder.name}_finetuned"))
        begun, devices = time.perf_counter(), mesh.make_mesh(config.mesh)
        decided = finetune.finetune(self.folder, config, devices, folder, StopOnSignal())
        if decided is not None:
            say(decided.why)
        info, seeds = read_info(folder), seed_folders(folder)
        subject = records.Subject(
            str(folder),
            info.fingerprint,
            tuple(read_info(seed).config.seed for seed in seeds),
            info.config.train.split,
            str(self.folder),
        )
        spent = {"seconds": time.perf_counter() - begun, "devices": float(devices.size)}
        result = records.Result(last_metrics(seeds), spent)
        records.append(self.ledger, records.record("finetune", info.config, subject, result))
        return Run(folder, info.config, self.ledger, decided)

    def extend(self, steps: int, *, begun: float | None = None) -> "Run":
        """Trains all seeds further, with the run's own config; docs/operations.md says what that
        means. After a kill the same call goes on; after its end it begins another extension.

        Args:
          steps: updates to add.
          begun: see ``fit``.

        Raises:
          InputError: too few steps, no training or another config in the folder, or an extension
            by another number of steps is not finished.
        """
        folders = seed_folders(self.folder)
        if folders == [self.folder]:
            raise InputError(
                f"{self.folder}: is one seed of a run; give the folder of the run, all of whose "
                "seeds are extended"
            )
        seeds = extension.stored(folders)
        run = dataclasses.replace(self, config=extension.extended(self.config, seeds, steps))
        if processes.first():
            extension.begin(self.folder, run.config)
        return _trained(run, {s.info.config.seed: s.folder for s in seeds}, begun)

    def _scored_on(self, split: str | None) -> Config:
        return self.config.override({} if split is None else {"evaluate.split": split})

    @contextlib.contextmanager
    def _on_frames(self, bars: pd.DataFrame, texts: pd.DataFrame | None) -> Iterator["Run"]:
        """The same run on the data of frames, as on a market folder of them."""
        with tempfile.TemporaryDirectory() as root:
            _named(bars, _SYNONYMS).to_parquet(f"{root}/bars.parquet", index=False)
            if texts is not None:
                _named(texts, _TEXT_SYNONYMS).to_parquet(f"{root}/texts.parquet", index=False)
            changes = {"data.source": "folder", "data.root": root}
            try:
                yield dataclasses.replace(self, config=self.config.override(changes), keep=False)
            except InputError as error:  # the caller never saw these files
                words = re.sub(rf"{re.escape(root)}/(\w+)\.parquet", r"the frame \1", str(error))
                raise InputError(words) from error


def load_config(name: str | Path, changes: Mapping[str, Any] | None = None) -> Config:
    """A config file's settings.

    Args:
      name: of a file, or of a config that is installed with the package, such as ``"demo"``.
      changes: values by dotted key: ``{"train.steps": 100}``.

    Raises:
      InputError: no such config, or what it holds is refused.
    """
    settings = config_file.read(configs.require(str(name)))
    return Config.of(settings).override(dict(changes or {}))


def load(run: str | Path, config: Config | None = None, *, ledger: str | Path = LEDGER) -> Run:
    """A run by its folder.

    Args:
      run: the folder that a training named at its end, or one seed's.
      config: with the data to open and how to evaluate; None for the run's own.
      ledger: folder of the records of all runs.

    Raises:
      InputError: no run there, or one that was trained for another task than ``config`` describes.
    """
    folder = Path(run)
    own = read_info(folder).config
    return Run(folder, own if config is None else forecast.merged(config, own), Path(ledger))


def fit(
    config: Config,
    *,
    seeds: int = 1,
    folder: str | Path | None = None,
    ledger: str | Path = LEDGER,
    begun: float | None = None,
) -> Run:
    """Trains seeds of a config one after the other, or goes on where they stopped.

    Args:
      config: from ``load_config``.
      seeds: how many, from ``config.seed`` on.
      folder: of the run; ``runs/NAME`` if None.
      ledger: folder of the records of all runs.
      begun: start of the process, seconds since 1970, if this is its first training.

    Raises:
      InputError: anything wrong with data, config or mesh.
    """
    if seeds < 1:
        raise InputError(f"seeds is {seeds}; expected how many to train, at least 1")
    folder = Path(folder or f"runs/{config.name}")
    numbers = range(config.seed, config.seed + seeds)
    folders = {number: folder / f"seed_{number}" for number in numbers}
    # Before the data are opened and anything is compiled.
    config = extension.resumed(config, extension.stored([*folders.values()]))
    return _trained(Run(folder, config, Path(ledger)), folders, begun)


def _trained(run: Run, seeds: dict[int, Path], begun: float | None) -> Run:
    """Trains seeds, each into its folder; records it."""
    trainer = coreset.trainer(run.config, mesh.make_mesh(run.config.mesh))
    trainer.describe()
    trainer.preflight(run.folder)
    stop, started = StopOnSignal(), time.perf_counter()
    for number, folder in seeds.items():
        trainer.train(number, folder, stop, begun)
        begun = None  # of the first alone
    if processes.first():
        subject = records.Subject(
            str(run.folder), trainer.market.fingerprint, tuple(seeds), run.config.train.split
        )
        spent = {
            "seconds": time.perf_counter() - started,
            "devices": float(trainer.program.mesh.size),
        }
        result = records.Result(last_metrics([*seeds.values()]), spent)
        records.append(run.ledger, records.record("train", run.config, subject, result))
        for line in diagnostics.diagnose(run.folder, run.config)["training"]:
            say(f"training: {line}")
        extension.end(run.folder)
    return run


def write_page(folder: Path, config: Config, ledger: Path) -> Path:
    """Writes the page of a scored folder, of a run or of files of forecasts."""
    from fusionjax.report import run as page

    windows = file_forecasts.described(folder, config)
    config = windows.config
    told = readings.records(config, ledger)
    return page.write(folder, config.evaluate.split, windows.market, config, windows, told)


def _several(x: str | Iterable[str]) -> list[str]:
    return [x] if isinstance(x, str) else [str(each) for each in x]


def _named(frame: pd.DataFrame, synonyms: Mapping[str, str]) -> pd.DataFrame:
    return frame.rename(columns={k: v for k, v in synonyms.items() if v not in frame.columns})
