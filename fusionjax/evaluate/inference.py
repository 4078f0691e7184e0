"""A trained run as a function from rows to forecasts, averaged over its seeds."""

import abc
import copy
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int64, Shaped

from fusionjax.config import Config, MeshConfig
from fusionjax.data.pipeline import evaluation_batches
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError
from fusionjax.experts import stacked
from fusionjax.experts.stacked import Stack
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train import fingerprint
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.program import Program
from fusionjax.train.run import make_program
from fusionjax.train.run_info import RunInfo
from fusionjax.types import Batch, Forecast

STARTS = "starts from its experts"  # how a run's remark on them goes on
_BATCH = 256  # rows per data shard and forward pass


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Forecasts as numpy arrays, one row a sample."""

    value: dict[str, np.ndarray]  # by head, float [S, H, ...]
    modality_weight: Float[np.ndarray, "S M"]

    def take(self, keep: np.ndarray) -> "Prediction":
        """The forecasts selected by a mask or by positions."""
        return self.map(lambda x: x[keep])

    def map(self, change: Callable[..., np.ndarray], *others: "Prediction") -> "Prediction":
        """Applies a function to every array, together with the same array of the others."""
        value = {k: change(v, *(o.value[k] for o in others)) for k, v in self.value.items()}
        return Prediction(value, change(self.modality_weight, *(o.modality_weight for o in others)))

    def arrays(self) -> dict[str, Any]:
        """All arrays by name, for a file."""
        return {f"value.{k}": v for k, v in self.value.items()} | {
            "modality_weight": self.modality_weight
        }

    @staticmethod
    def of_arrays(arrays: Mapping[str, np.ndarray]) -> "Prediction":
        """The inverse of ``arrays``."""
        value = {k.partition(".")[2]: arrays[k] for k in arrays if k.startswith("value.")}
        return Prediction(value, arrays["modality_weight"])


def seed_folders(run: Path) -> list[Path]:
    """The seeds of a run folder: ``seed_*`` inside it, or the folder itself.

    Raises:
      InputError: neither holds checkpoints.
    """
    if (run / "checkpoints").is_dir():
        return [run]
    folders = [p for p in run.glob("seed_*") if (p / "checkpoints").is_dir()]
    if not folders:
        raise InputError(
            f"{run}: no run here (neither checkpoints/ nor seed_*/checkpoints/); give "
            "the folder that fusionjax train named at its end"
        )
    return sorted(folders, key=lambda p: int(re.sub(r"\D", "", p.name) or 0))


def read_info(run: Path) -> RunInfo:
    """The metadata of the run's first seed."""
    with Checkpoints(seed_folders(run)[0]) as checkpoints:
        return checkpoints.info()


class Forecaster(abc.ABC):
    """What is scored: a trained run, or a file of forecasts.

    Attributes:
      source: what the ledger calls it.
      config: of its training; what it locks is locked.
      windows: inputs of the baselines beside it.
      seed_numbers: of its seeds; empty if it has none.
      learned: first and last day of training, of the baselines too.
      since: the first day whose forecasts may calibrate later ones.
      calls: targets of which it makes calls without a probability.
    """

    source: str
    config: Config
    windows: Windows
    seed_numbers: tuple[int, ...]
    learned: tuple[np.datetime64, np.datetime64]
    since: np.datetime64
    calls: frozenset[str] = frozenset()

    @abc.abstractmethod
    def predict_each(self, rows: Int64[np.ndarray, "S"]) -> list[Prediction]:
        """The forecast of every seed by itself; NaN where it has none."""

    @abc.abstractmethod
    def identity(self) -> list[str]:
        """What tells it from all others, whatever it is called."""

    @abc.abstractmethod
    def remarks(self, name: str, scored: Shaped[np.ndarray, "S"]) -> list[str]:
        """Lines above the tables.

        Args:
          name: in the tables.
          scored: datetime64[D], the target days that are scored.
        """


class Ensemble(Forecaster):
    """All seeds of a run on the devices at hand."""

    def __init__(self, run: Path, config: Config, market: Market) -> None:
        """Restores the averaged parameters of every seed.

        Raises:
          InputError: no run in the folder, one of another model than ``config``, an unfinished
            seed, or seeds that differ in more than the seed.
        """
        self.info, self.source = read_info(run), str(run)
        self.config = self.info.config
        days = self.info.trained_from, self.info.trained_until
        self.learned = np.datetime64(days[0], "D"), np.datetime64(days[1], "D")
        self.since = self.learned[1] + 1
        windows = Windows(market, config, self.info.scaler)
        self.windows = stacked.of_run(windows, seed_folders(run)[0])
        mesh, folders = make_mesh(MeshConfig(data=-1, fsdp=1, tensor=1)), seed_folders(run)
        self._shards = mesh.shape["data"]
        # All seeds answer at once: the rows of a pass are shared out, as memory is.
        self._batch = max(_BATCH // len(folders), 1) * self._shards
        self._sizes = set[int]()  # of passes that are compiled
        sized = config.override(
            {"train.global_batch_size": self._batch, "train.grad_accum_steps": 1}
        )
        self._program = make_program(sized, mesh, self.windows)
        restored = [self._restore(folder) for folder in folders]
        self._sums = sorted(json.dumps(fingerprint.sums(x), sort_keys=True) for _, x in restored)
        self._seeds = self._program.stacked([params for _, params in restored])
        self.seed_numbers = tuple(seed for seed, _ in restored)

    def _restore(self, folder: Path) -> tuple[int, dict]:
        with Checkpoints(folder) as checkpoints:
            info, step = checkpoints.info(), checkpoints.latest()
            if step != info.config.train.last_step:
                raise InputError(
                    f"{folder}: stopped at step {step} of {info.config.train.last_step}; run the "
                    "command that trained it again to finish it"
                )
            comparable = dataclasses.replace(
                info,
                parent=self.info.parent,
                config=dataclasses.replace(info.config, seed=self.info.config.seed),
            )
            if comparable != self.info:
                raise InputError(
                    f"{folder}: differs from its neighbours in more than the seed (config, data or "
                    "scaler); score it by itself or move it out of the run folder"
                )
            params = checkpoints.averaged(self._program.abstract_state.ema_params)
            if checkpoints.latest() != step:
                raise InputError(
                    f"{folder}: its last checkpoint is damaged, the one before is of step "
                    f"{checkpoints.latest()}; run the command that trained it again to finish it"
                )
            return info.config.seed, params

    def with_windows(self, windows: Windows) -> "Ensemble":
        """The same seeds with inputs from other windows."""
        other = copy.copy(self)
        stack = self.windows.stack
        stack = None if stack is None else Stack.over(windows, stack.experts)
        other.windows = windows.starting_from(stack)
        return other

    def predict_each(
        self, rows: Int64[np.ndarray, "S"], hidden: frozenset[str] = frozenset()
    ) -> list[Prediction]:
        """The forecast of every seed by itself; all seeds answer in one compiled call."""
        shared = -(-len(rows) // self._shards)  # a power of two, so that few programs are compiled
        size = min(self._batch, self._shards << max(shared - 1, 0).bit_length())
        size = min((known for known in self._sizes if known >= size), default=size)
        self._sizes.add(size)
        forecast = functools.partial(self._program.predict_each, self._seeds)
        whole = _joined(forecast, self.windows, rows, size, hidden, 1)
        each = (jax.tree.map(lambda x, i=i: x[i], whole) for i in range(len(self.seed_numbers)))
        return [_prediction(f, self.windows.config) for f in each]

    @functools.cached_property
    def seeds(self) -> list[dict]:
        """The averaged parameters of each seed, on the host."""
        count = len(self.seed_numbers)
        whole = jax.device_get(self._seeds)
        return [jax.tree.map(lambda x, i=i: x[i], whole) for i in range(count)]

    def identity(self) -> list[str]:
        """The sums of all seeds' parameters, and of files among the experts."""
        return [*self._sums, *(self.windows.stack.files if self.windows.stack else ())]

    def remarks(self, name: str, scored: Shaped[np.ndarray, "S"]) -> list[str]:
        """Whether it was trained on days that are scored, and which experts it starts from."""
        until = self.learned[1]
        line = f"IN SAMPLE: {name} was trained on days up to {until} that are scored"
        return [*([line] if scored.min() <= until else []), *self._experts(name)]

    def _experts(self, name: str) -> list[str]:
        if self.windows.stack is None:
            return []
        heads = self.windows.config.targets
        parts = []
        for (head, at), weight in self.windows.stack.experts.weight.items():
            share = np.mean([np.asarray(params[f"gain_{head}"])[at] for params in self.seeds])
            listed = ", ".join(f"{expert} {w:.2f}" for expert, w in weight.items())
            parts.append(f"{head} {heads[head].horizons[at]}d from {listed} (network {share:.0%})")
        return [f"{name} {STARTS}, and counts its network's corrections: {'; '.join(parts)}"]

    def predict(
        self, rows: Int64[np.ndarray, "S"], hidden: frozenset[str] = frozenset()
    ) -> Prediction:
        """The mean over seeds."""
        return mean(self.predict_each(rows, hidden))


def mean(predictions: list[Prediction]) -> Prediction:
    """Averages forecasts: each head's values, and the weights."""
    first, *others = predictions
    return first.map(lambda *each: np.mean(each, axis=0), *others)


def predict(
    program: Program,
    params: dict,
    windows: Windows,
    rows: Int64[np.ndarray, "S"],
    batch_size: int,
    hidden: frozenset[str] = frozenset(),
) -> Prediction:
    """Forecasts ``rows`` in batches; modalities in ``hidden`` are treated as missing."""
    return collect(functools.partial(program.predict, params), windows, rows, batch_size, hidden)


def collect(
    forecast: Callable[[Batch], Forecast],
    windows: Windows,
    rows: Int64[np.ndarray, "S"],
    batch_size: int,
    hidden: frozenset[str] = frozenset(),
) -> Prediction:
    """Applies a forecasting function to ``rows`` in batches; returns values by head."""
    return _prediction(_joined(forecast, windows, rows, batch_size, hidden, 0), windows.config)


def _joined(
    forecast: Callable[[Batch], Forecast],
    windows: Windows,
    rows: Int64[np.ndarray, "S"],
    batch_size: int,
    hidden: frozenset[str],
    axis: int,
) -> Forecast:
    """The forecasts of all batches, on the host, side by side along the axis of their rows."""
    parts = [forecast(b) for b in evaluation_batches(rows, windows, batch_size, hidden)]
    real = (slice(None),) * axis + (slice(len(rows)),)
    joined: Forecast = jax.tree.map(
        lambda *x: np.concatenate([np.asarray(a) for a in x], axis)[real], *parts
    )
    return joined


def _prediction(f: Forecast, config: Config) -> Prediction:
    heads = config.targets
    value = {k: np.asarray(head.prediction(f.outcome[k])) for k, head in heads.items()}
    return Prediction(value, f.modality_weight)
