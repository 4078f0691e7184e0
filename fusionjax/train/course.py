"""One training on its way: a step, what is told about it, what is heeded, what is saved."""

import dataclasses

import jax

from fusionjax.config import Config
from fusionjax.parallel import processes
from fusionjax.train import events
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.goodput import Goodput
from fusionjax.train.program import Program
from fusionjax.train.rebound import Rebound, Verdict
from fusionjax.train.recovery import Recovery
from fusionjax.train.run_info import RunInfo
from fusionjax.train.state import TrainState
from fusionjax.train.telemetry import Profiler, Reporter


class Course:
    """Where a training is: its state, its step, and all that is told about it on the way."""

    def __init__(
        self,
        config: Config,
        program: Program,
        state: TrainState,
        recovery: Recovery,
        rebound: Rebound,
        goodput: Goodput,
        label: str,
        run: tuple[Checkpoints, RunInfo] | None,
    ) -> None:
        self._config, self._program, self._label, self._run = config, program, label, run
        self.state, self.step = state, int(state.step)
        self._recovery, self._rebound, self._goodput = recovery, rebound, goodput
        self._feeds = recovery.feeds.starting(self.step)
        own = recovery.folder if processes.first() else None
        self._pace, self._profiler = processes.Pace(), Profiler(own)
        self._reporter = Reporter(label, config.train.steps, self.step, own, program.model_flops)
        self._watchdog = processes.Watchdog(config.train.hang_seconds)
        goodput.lose(self._reporter.lost)

    def __enter__(self) -> "Course":
        self._watchdog.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._watchdog.__exit__(*error)
        self._profiler.close()
        with self._goodput.spent("step"):
            jax.block_until_ready(self.state.step)
        self._reporter.__exit__(*error)
        self._goodput.look(int(self.state.step), self._config.train.steps)

    def update(self, parent: dict | None) -> Verdict:
        """One step; what was held of earlier ones is read meanwhile."""
        self._profiler.at(self.step)
        with self._goodput.spent("data"), self._pace.waiting():
            feed = next(self._feeds)
        t = self._config.train
        with self._goodput.spent("step"):
            self.state, metrics = self._program.step(self.state, feed, self._config.seed, parent)
            # This step is dispatched before the metrics of an earlier one are read, so the
            # device never waits for the host.
            row, verdict = self._reporter.flush(), self._rebound.look()
        self.step += 1
        self._watchdog.alive()
        if row is not None:
            verdict = dataclasses.replace(verdict, halted=verdict.halted or bool(row["halted"]))
            self._tell(row)
        if self.step % t.log_every == 0 or self.step == t.steps:
            self._reporter.hold(self.step, metrics, self._goodput.look(self.step, t.steps))
        self._rebound.hold(self.step, self.state)
        return verdict

    def heed(self, verdict: Verdict, stopping: bool) -> bool:
        """Acts on what was seen; whether that leads to an earlier step.

        Nothing is saved that has not been looked at. One that is about to stop leaves a lost
        number to the next start, which meets it again.
        """
        if self._saving(stopping) and not verdict.acts:
            seen = self._rebound.look()
            verdict = dataclasses.replace(
                seen, halted=seen.halted or bool(jax.device_get(self.state.guard.halted))
            )
        if not verdict.acts:
            return False
        with self._goodput.spent("lost"):
            if verdict.halted and stopping:
                self.state = self._rebound.freed(self.state)
            else:
                self.state = self._recovery.after(self.state, verdict)
        back = int(self.state.step)
        if back == self.step:
            return False
        self.step = back
        self._reporter.rewind(back)
        self._rebound.rewind()
        self._feeds = self._recovery.feeds.starting(back)
        return True

    def save(self, stopping: bool) -> None:
        """Writes a checkpoint where one is due."""
        if self._run is None or not self._saving(stopping):
            return
        checkpoints, info = self._run
        if self._saving(stopping=False):  # one made because of a signal changes nothing that comes
            self._rebound.saves(self.step)
        with self._goodput.spent("save"):
            failed = checkpoints.save(self.step, self.state, info, *self._rebound.kept())
        self._recovery.tell_unsaved(failed, self.step)

    def _saving(self, stopping: bool) -> bool:
        t = self._config.train
        return stopping or self.step % t.checkpoint_every == 0 or self.step == t.steps

    def _tell(self, row: dict[str, float]) -> None:
        if row["halted"]:
            return
        self._recovery.tell_skipped(int(row["skipped"]))
        for line in self._pace.compared(self.step, row["steps_per_second"]):
            said = f"{self._label}: {line}"
            events.tell("T5", said, self._recovery.folder, step=self.step)
