"""A stream run session by session: update by one rule, forecast until the next update.

Nothing is used before it was known: an update sees labels that matured by its session, a forecast
is made by the model that served at its decision time.
"""

import dataclasses
import hashlib
import itertools
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Shaped

from fusionjax import files
from fusionjax.adapt import finetune, promotion
from fusionjax.config import Config, require_same_task
from fusionjax.data import samples
from fusionjax.data.pipeline import labelled_batches
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.evaluate import losses
from fusionjax.evaluate.inference import Prediction, collect, predict, read_info, seed_folders
from fusionjax.experts import stacked
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.job import Run
from fusionjax.train.loop import fit
from fusionjax.train.program import Program, flops
from fusionjax.train.run import make_program
from fusionjax.types import Batch, Forecast
from studies.streams.double_adapt import Tasks

_OLD_ROWS = 4096  # of the parent's period, on which forgetting is measured
_EPOCHS = 2  # of the two-sided adapter over the parent's own tasks, before the stream begins


@dataclasses.dataclass(frozen=True)
class StreamResult:
    """Result of a stream under one rule.

    Attributes:
      prediction: forecasts of the stream's samples, each by the model that served then.
      seconds: spent on updates, compilation aside.
      flops: of the updates, as the compiler counts them.
      forgotten: rise of the loss on the parent's own period, from its beginning to the end.
      updates: made.
      refused: updates that the promotion gate refused.
    """

    prediction: Prediction
    seconds: float
    flops: float
    forgotten: float
    updates: int
    refused: int


class Stream:
    """The streams of one run: every rule and seed on the same samples.

    Args:
      market: the data.
      config: ``finetune.*`` governs; ``finetune.split`` is the stream.
      mesh: to train on.
      parent: run folder whose seeds serve when the stream begins.

    Raises:
      InputError: another model than the parent's, or a stream that begins before its labels end.
    """

    def __init__(self, market: Market, config: Config, mesh: Mesh, parent: Path) -> None:
        self.market, self.config, self.mesh, self.info = market, config, mesh, read_info(parent)
        require_same_task(config, self.info.config, ("modalities", "targets", "model"))
        self.samples = samples.split(market, config, config.finetune.split)
        self.known = np.datetime64(self.info.trained_until, "D")
        self._decided = market.session[self.samples.row]
        if self._decided.min() < market.session[market.session <= self.known].max():
            raise InputError(
                f"config.finetune.split {config.finetune.split!r} is forecast from "
                f"{self._decided.min()} on, but {parent} knew labels until {self.known}; let the "
                "stream begin later"
            )
        self.sessions: Shaped[np.ndarray, "days"] = np.unique(self._decided)
        windows = Windows(market, config, self.info.scaler)
        self.windows = stacked.of_run(windows, seed_folders(parent)[0])
        self.updating = finetune.as_training(config)
        self.update_program = finetune.program_for(self.updating, mesh, self.windows)
        self.train_program = make_program(config, mesh, self.windows)
        first = np.datetime64(self.info.trained_from, "D")
        old = samples.between(market, config, first, self.known)
        self._old = old.take(np.unique(np.linspace(0, len(old) - 1, _OLD_ROWS).astype(int)))

    def run(self, rule: str, seed_folder: Path) -> StreamResult:
        """One seed of the parent under one rule."""
        with Checkpoints(seed_folder) as checkpoints:
            params = checkpoints.averaged(self.train_program.abstract_state.ema_params)
            seed = checkpoints.info().config.seed
        serving_class = _TwoSided if rule == "two-sided adapter" else partial(_Trained, rule=rule)
        serving = serving_class(self, params, seed)
        before, parts = self._old_loss(serving), []
        for i in range(0, len(self.sessions), self.config.finetune.update_interval):
            if i:
                serving.update(i)
            window = self.sessions[i : i + self.config.finetune.update_interval]
            parts.append(self.predict(serving, self.samples.take(np.isin(self._decided, window))))
        order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
        first, *others = [prediction for _, prediction in parts]
        return StreamResult(
            first.map(lambda *x: np.concatenate(x)[order], *others),
            serving.seconds,
            serving.flops,
            self._old_loss(serving) - before,
            serving.updates,
            serving.refused,
        )

    def cached(self, rule: str, seed_folder: Path, folder: Path) -> StreamResult:
        """The result of ``run``, read from ``folder`` if it is there, else run and stored."""
        key = hashlib.sha256(
            f"{self.config.to_json()} {self.info.to_json()} {self.market.fingerprint}".encode()
        ).hexdigest()
        path = folder / f"{rule}-{seed_folder.name}-{key[:12]}.npz"
        if not path.exists():
            result = self.run(rule, seed_folder)
            numbers = [float(v) for k, v in vars(result).items() if k != "prediction"]
            arrays: dict[str, Any] = {"numbers": np.array(numbers), **result.prediction.arrays()}
            with files.replaced(path) as f:
                np.savez(f, **arrays)
        with np.load(path, allow_pickle=False) as f:
            arrays = dict(f)
        seconds, count, forgotten, updates, refused = arrays.pop("numbers").tolist()
        prediction = Prediction.of_arrays(arrays)
        return StreamResult(prediction, seconds, count, forgotten, int(updates), int(refused))

    def predict(
        self, serving: "_Trained | _TwoSided", scored: Samples
    ) -> tuple[np.ndarray, Prediction]:
        """The samples' rows, and their forecasts by the current model."""
        size = self.config.train.global_batch_size
        return scored.row, collect(serving.forecast, serving.windows, scored.row, size)

    def _old_loss(self, serving: "_Trained | _TwoSided") -> float:
        by_title = losses.sample_losses(
            self.predict(serving, self._old)[1], self._old, self.config.targets
        )
        heads = losses.judged(self.config.targets).values()
        return sum(h.weight * float(np.nanmean(by_title[h.loss_title])) for h in heads)


class _Serving:
    """The model that forecasts now, the last day of its labels, and the cost of its updates."""

    def __init__(self, stream: Stream, params: Any, seed: int) -> None:
        self.stream, self.params, self.seed = stream, params, seed
        self.windows, self.until = stream.windows, stream.known  # until: of all labels learned
        self.seconds = self.flops = 0.0
        self.updates = self.refused = 0

    def _windows(self, until: Any) -> Windows:
        """The windows with experts that learned all labels by a day, as an update has them; what
        they learned is kept, so that its time would tell nothing and isn't counted."""
        return stacked.updated(
            self.windows, np.datetime64(self.stream.info.trained_from, "D"), until
        )

    def _add_cost(self, started: float, steps: int, program: Program) -> None:
        self.seconds += time.perf_counter() - started
        self.flops += steps * flops(program.compiled_step())


class _Trained(_Serving):
    """Parameters that are fine-tuned or trained from scratch, by the rule."""

    def __init__(self, stream: Stream, params: Any, seed: int, *, rule: str) -> None:
        super().__init__(stream, params, seed)
        self._rule, self._retrained = rule, 0
        share = stream.updating.finetune.replay_fraction if "replay" in rule else 0.0
        self._config = stream.updating.override({"finetune.replay_fraction": share})

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts by the current parameters."""
        return self.stream.train_program.predict(self.params, batch)

    def update(self, at: int) -> None:
        """Learns what matured by the session before the next forecasts, as the rule says."""
        now = self.stream.sessions[at]
        every = self.stream.config.finetune.retrain_interval
        if self._rule.startswith("retrain") and at // every > self._retrained:
            self._retrained = at // every
            self._retrain(now)
        elif "incremental" in self._rule:
            self._learn(now)

    def _retrain(self, now: Any) -> None:
        s = self.stream
        config = dataclasses.replace(s.config, seed=self.seed)
        first = np.datetime64(s.info.trained_from, "D")
        training_data = samples.training_data(
            s.market, config, first, now, weights.meta_fraction(config)
        )
        windows = Windows(s.market, config, Scaler.fit(s.market, now))
        self.windows = stacked.started(windows, training_data, now)
        program = s.train_program
        if training_data.meta is not None:  # how much a meta set is worth is compiled in
            program = make_program(config, s.mesh, self.windows, training_data.meta_sessions)
        program.compiled_step()
        started = time.perf_counter()
        state = fit(Run(config, self.windows, program, f"retrain, {now}"), training_data)
        self.params = jax.block_until_ready(state.ema_params)
        self._add_cost(started, config.train.steps, program)
        self.until = now
        self.updates += 1

    def _learn(self, now: Any) -> None:
        s, config = self.stream, dataclasses.replace(self._config, seed=self.seed)
        holdout: Samples | None = None
        if "gate" in self._rule:
            holdout, now = finetune.holdout_of(s.market, config, str(self.until), now)
            if not len(samples.matured(s.market, config, self.until, now)):
                return  # all that is new is the gate's
        span = (s.info.trained_from, str(self.until))
        program = s.update_program
        program.compiled_step()
        windows = self._windows(now)
        started = time.perf_counter()
        learned = finetune.material(s.market, config, span, now)
        run = Run(config, windows, program)
        params = finetune.learn(run, learned, self.params, self.updates)
        self._add_cost(started, config.train.steps, program)
        self.updates += 1
        if holdout is not None:
            size = config.train.global_batch_size
            both = (self.params, self.windows), (params, windows)
            before, after = (predict(program, p, w, holdout.row, size) for p, w in both)
            if not promotion.decide(before, after, holdout, config).promoted:
                self.refused += 1
                return
        self.params, self.windows, self.until = params, windows, now


class _TwoSided(_Serving):
    """A data adapter and a model that starts each task from a meta-learned initialisation."""

    def __init__(self, stream: Stream, params: Any, seed: int) -> None:
        super().__init__(stream, params, seed)
        s, self._rng = stream, np.random.default_rng([seed, 47])
        past = samples.between(s.market, s.config, np.datetime64(s.info.trained_from, "D"), s.known)
        decided = s.market.session[past.row]
        days = np.unique(decided)
        tasks = [
            self._batch(
                past.take(np.isin(decided, days[i : i + s.config.finetune.update_interval]))
            )
            for i in range(0, len(days), s.config.finetune.update_interval)
        ]
        self._tasks = Tasks(s.config, s.mesh, params, tasks[0])
        meta = self._tasks.start(params)
        for support, query in list(itertools.pairwise(tasks)) * _EPOCHS:
            meta, _ = self._tasks.meta_step(meta, support, query)
        self._meta, self._newest = meta, tasks[-1]
        self.params = self._tasks.learn(meta, tasks[-1])
        self._flops = self._tasks.flops(meta, tasks[-1])

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts by the parameters of this task, through the adapters of inputs and labels."""
        return self._tasks.forecast(self.params, self._meta.adapter, batch)

    def update(self, at: int) -> None:
        """Makes a meta step by the labels of the last task, then starts the next task."""
        s, now = self.stream, self.stream.sessions[at]
        self.windows = self._windows(now)
        started = time.perf_counter()
        query = self._batch(samples.matured(s.market, s.config, self.until, now))
        self._meta, _ = self._tasks.meta_step(self._meta, self._newest, query)
        self.params = jax.block_until_ready(self._tasks.learn(self._meta, query))
        self._newest, self.until = query, now
        self.seconds += time.perf_counter() - started
        self.flops += self._flops
        self.updates += 1

    def _batch(self, learned: Samples) -> Batch:
        """At most a batch of the samples, at random; padded with rows of no weight."""
        size = self.stream.config.train.global_batch_size
        chosen = np.sort(self._rng.permutation(len(learned))[:size])
        return next(iter(labelled_batches(learned.take(chosen), self.windows, size)))
