"""Logs metrics to JSONL and TensorBoard, and shows a progress bar."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fusionjax import files
from fusionjax.distill import weights
from fusionjax.parallel import processes
from fusionjax.telemetry import progress_bar
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.step import META_LOSS

_LOG = "metrics.jsonl"
_CLOCK = (  # columns that are no metrics of the model
    *("step", "time", "steps_per_second", "goodput", "mfu"),
    *("host_bytes", "threads", "open_files"),
    *("step_seconds_p50", "step_seconds_p95", "step_seconds_p99"),
)
# Groups of TensorBoard's cards, which are sorted: both losses come first and share one.
_LOSSES = {"loss": "loss/training", META_LOSS: "loss/held_out_meta_set"}


class Metrics(Hook):
    """Logs every ``train.log_every`` steps; each row is read while the step after it runs."""

    def opened(self, loop: TrainingLoop) -> None:
        """Continues the log of earlier starts."""
        folder = loop.folder if processes.first() else None
        flops = loop.run.program.model_flops
        self._reporter = Reporter(loop.run.label, loop.last, loop.step, folder, flops)
        self._held_out: list[jax.Array] = []  # losses since the last row, still on the device
        loop.goodput.lose(self._reporter.lost)

    def dispatched(self, loop: TrainingLoop) -> None:
        """Reads and writes the row of an earlier step."""
        loop.logged = self._reporter.flush()

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """Stores this step's row, with the mean of the meta losses since the row before."""
        if META_LOSS in metrics and weights.is_update_step(loop.run.config, loop.step - 1):
            self._held_out.append(metrics[META_LOSS])
        if loop.logs:
            clock = loop.goodput.look(loop.step, loop.last)
            row = {k: v for k, v in metrics.items() if k != META_LOSS}
            if self._held_out:
                row[META_LOSS] = self._held_out
            self._reporter.hold(loop.step, row, clock)
            self._held_out = []

    def rewound(self, loop: TrainingLoop) -> None:
        """Drops the stored row."""
        self._held_out = []
        self._reporter.rewind(loop.step)

    def closed(self, loop: TrainingLoop) -> None:
        """Waits for the device, so that the last steps' time is counted."""
        with loop.goodput.spent("step"):
            jax.block_until_ready(loop.state.step)
        self._reporter.close()
        loop.goodput.look(int(loop.state.step), loop.last)


class Reporter:
    """One training's progress bar, ``metrics.jsonl`` and TensorBoard files; to be closed.

    Args:
      label: shown on the bar.
      steps: of the whole run.
      first: steps done before, in a resumed run.
      folder: for the files; None writes none.
      flops: of a step on each device, and a device's peak a second; None if not known.

    Attributes:
      lost: seconds of updates that were logged but not saved, and are repeated.
    """

    def __init__(
        self,
        label: str,
        steps: int,
        first: int,
        folder: Path | None,
        flops: tuple[float, float] | None = None,
    ) -> None:
        self._last = first, time.perf_counter()  # step and time of the last report
        self._pending: tuple[int, dict, dict[str, float]] | None = None
        self._flops, self.lost = flops, 0.0
        self._open = contextlib.ExitStack()
        self._progress = self._open.enter_context(progress_bar())
        self._bar = self._progress.add_task(label, total=steps, completed=first, note="compiling")
        self._log = self._board = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            from tensorboardX import SummaryWriter

            self._log = folder / _LOG
            self.lost = _drop_rows_after(self._log, first)
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1)

    def close(self) -> None:
        """Writes the stored row; closes bar and files."""
        self.flush()
        if self._board is not None:
            self._board.close()
        self._open.close()

    def rewind(self, step: int) -> None:
        """Continues from an earlier step; drops the stored row, whose step was undone."""
        self._pending, self._last = None, (step, time.perf_counter())

    def hold(self, step: int, metrics: dict, clock: dict[str, float] | None = None) -> None:
        """Stores metrics that are still on the device; the next ``flush`` reads them. Of several
        values under one name the row has the mean."""
        self._pending = (step, metrics, clock or {})

    def flush(self) -> dict[str, float] | None:
        """Reads, logs and returns the stored row, if any.

        A row whose step was not made, as the state had halted, is returned but not logged.
        """
        if self._pending is None:
            return None
        (step, metrics, clock), self._pending = self._pending, None
        scalars = {name: float(np.mean(value)) for name, value in jax.device_get(metrics).items()}
        if scalars["halted"]:
            return scalars
        now = time.perf_counter()
        rate = (step - self._last[0]) / (now - self._last[1])
        self._last = step, now
        self._progress.update(
            self._bar,
            completed=step,
            note=f"{rate:.1f} steps/s  loss {scalars['loss']:.4f}",
        )
        scalars |= {"steps_per_second": rate, **clock}
        if self._flops is not None:
            scalars["mfu"] = rate * self._flops[0] / self._flops[1]
        if self._log is not None:
            row = {"step": step, "time": round(time.time(), 3), **scalars}
            if not files.add_json_line(self._log, row):
                # Closing it would wait for its thread, which would wait for the full disk.
                self._board = None
        if self._board is not None:
            for name, value in scalars.items():
                self._board.add_scalar(card(name), value, step)
        return scalars


def last_metrics(folders: list[Path]) -> dict[str, float]:
    """The last logged numbers of some trainings, averaged."""
    rows = [[*files.json_lines(f / _LOG)][-1] for f in folders]
    return {name: sum(r[name] for r in rows) / len(rows) for name in rows[0] if name not in _CLOCK}


def card(name: str) -> str:
    """Where TensorBoard shows a metric: losses first, then the optimiser, then speed."""
    if name in _LOSSES:
        return _LOSSES[name]
    if name.startswith("loss_"):
        return f"loss/training_{name.removeprefix('loss_')}"
    return f"{'speed' if name in _CLOCK else 'optimiser'}/{name}"


def tensorboard_text(folder: Path, lines: dict[str, list[str]]) -> None:
    """Writes lines of text to a training's TensorBoard files."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as board:
        for name, texts in lines.items():
            board.add_text(name, "\n\n".join(texts) or "nothing odd")


def _drop_rows_after(path: Path, step: int) -> float:
    """Removes rows after ``step``, which a killed run did not save; returns their seconds."""
    if not path.exists():
        return 0.0
    rows = [*files.json_lines(path)]
    remaining = [json.dumps(r) for r in rows if r.get("step", step) <= step]
    with files.best_effort(path):
        files.write_text(path, "".join(f"{row}\n" for row in remaining))
    seconds, previous = 0.0, step
    for row in rows:
        if row.get("step", step) > step:
            seconds += (row["step"] - previous) / row["steps_per_second"]
            previous = row["step"]
    return seconds
