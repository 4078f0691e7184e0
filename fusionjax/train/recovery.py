"""What follows a non-finite step or a loss that rebounds: who is told, and what is done."""

from pathlib import Path

import jax
import numpy as np

from fusionjax.config import Config
from fusionjax.data import provenance
from fusionjax.data.pipeline import Feeds
from fusionjax.data.samples import Lesson, Samples
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError
from fusionjax.parallel import processes
from fusionjax.train import events, guards, quarantine
from fusionjax.train.hunt import Finding, hunt, record
from fusionjax.train.program import Program
from fusionjax.train.quarantine import Entry
from fusionjax.train.rebound import Rebound, Verdict
from fusionjax.train.state import TrainState


class Recovery:
    """One training's answers to its accidents.

    Args:
      config: of the run.
      program: of the run.
      windows: says where samples come from.
      feeds: what it trains on.
      rebound: its best state.
      parent: parameters that it is held to.
      folder: of the training; None keeps nothing.

    Attributes:
      feeds: without the samples that were taken out.
    """

    def __init__(
        self,
        config: Config,
        program: Program,
        windows: Windows,
        feeds: Feeds,
        rebound: Rebound,
        parent: dict | None,
        folder: Path | None,
    ) -> None:
        self._config, self._program, self._windows = config, program, windows
        self._rebound, self._parent, self.folder = rebound, parent, folder
        self._entries = {} if folder is None else quarantine.read(folder)
        self.feeds = feeds.weighing(quarantine.weights(self._entries))
        if self._entries:
            out = sum(e.weight == 0 for e in self._entries.values())
            said = f"{out} sample(s) taken out, {len(self._entries) - out} weighed anew"
            events.tell("S1", f"{said}; launch/samples.py lists them", folder)
        told = [] if folder is None else events.told(folder)
        self._skipped = max((r["skipped"] for r in told if r.get("code") == "G1"), default=0)
        self._chance: int | None = None  # the step whose number was lost by chance

    def after(self, state: TrainState, verdict: Verdict) -> TrainState:
        """The state to go on from.

        Raises:
          InputError: nothing brings the numbers back.
        """
        if verdict.seen is None:
            return self._without_number(state)
        assert verdict.best is not None
        seen, best, g = verdict.seen, verdict.best, self._config.guard
        far = seen.above(best, self._rebound.history.usual_error())
        said = (
            f"loss {seen.loss:.4f} ± {seen.error:.4f} at step {seen.step}, "
            f"{far:.1f} standard errors above {best.loss:.4f} ± {best.error:.4f}"
        )
        if verdict.state is None:
            more = f"it went back {g.rollbacks} times already and now goes on as it is"
            events.tell("G3", f"{said}; {more}", self.folder, step=seen.step)
            return state
        more = f"back to the state of step {best.step}, learning rate × {self._rate(verdict.state)}"
        events.tell("G2", f"{said}; {more}", self.folder, step=seen.step, back_to=best.step)
        return verdict.state

    def only_sound(self, lesson: Lesson, step: int) -> Lesson:
        """The lesson without the samples that were taken out by a step."""
        taken = (row for row, e in self._entries.items() if e.weight == 0 and e.since <= step)
        out = np.array([*taken], int)

        def kept(samples: Samples | None) -> Samples | None:
            return None if samples is None else samples.take(~np.isin(samples.row, out))

        whole = kept(lesson.whole)
        assert whole is not None
        return Lesson(whole, kept(lesson.base), kept(lesson.anchor)) if len(out) else lesson

    def tell_skipped(self, skipped: int) -> None:
        """Tells of updates that were left out since it was last asked."""
        if skipped > self._skipped:
            new, self._skipped = skipped - self._skipped, skipped
            said = f"{new} update(s) skipped, whose gradients stood out; {skipped} in all"
            events.tell("G1", said, self.folder, skipped=skipped)

    def tell_unsaved(self, failed: str | None, step: int) -> None:
        """Tells that the save before this one failed; the next one tries again."""
        if failed is not None:
            said = f"the checkpoint before step {step} could not be written: {failed}"
            events.tell("C1", f"{said}; training goes on", self.folder, step=step)

    def _without_number(self, state: TrainState) -> TrainState:
        g = self._config.guard
        finding = hunt(
            self._program, self.feeds, state, self._config.seed, self._parent, g.quarantine
        )
        described = [self._windows.describe(row) for row in finding.samples]
        said = str(finding)
        if self.folder is not None:
            place = record(self.folder, finding, self.feeds[finding.step], described)
            said += f". Arrays and names are in {place}"
        events.tell("N1", said, self.folder, step=finding.step)
        if finding.cause == "samples":
            self._take_out(finding, described)
            return self._rebound.freed(state)
        if finding.cause == "chance" and self._chance != finding.step:
            self._chance = finding.step
            said = f"step {finding.step} is finite this time, and training goes on from it"
            events.tell("N3", said, self.folder, step=finding.step)
            return self._rebound.freed(state)
        back = self._rebound.back((state.guard, guards.counters(state)))
        if back is None:
            raise InputError(
                f"training cannot go on: {finding}. It went back "
                f"{self._rebound.history.rollbacks} of {g.rollbacks} times and has no sound state "
                "left to go back to; the last checkpoint stands. Lower train.learning_rate"
            )
        best = self._rebound.history.best
        assert best is not None
        text = f"back to the state of step {best.step}, learning rate × {self._rate(back)}"
        events.tell("N4", text, self.folder, step=finding.step, back_to=best.step)
        return back

    def _take_out(self, finding: Finding, described: list[dict]) -> None:
        most = self._config.guard.quarantine
        out = sum(e.weight == 0 for e in self._entries.values()) + len(described)
        if out > most:
            raise InputError(
                f"training cannot go on: {finding}. {out} samples would be taken out, "
                f"guard.quarantine allows {most}; look at "
                + ", ".join(provenance.named(d) for d in described[:8])
            )
        why = str(finding)
        for sample in described:
            entry = Entry(0.0, finding.step, why, sample)
            self._entries[sample["sample_id"]] = entry
        if self.folder is not None and processes.first():
            quarantine.write(self.folder, self._entries)
        self.feeds = self.feeds.weighing(quarantine.weights(self._entries))
        names = ", ".join(provenance.named(d) for d in described)
        said = f"{len(described)} sample(s) taken out: {names}; launch/samples.py shows them"
        events.tell("N2", said, self.folder, step=finding.step, samples=list(finding.samples))

    @staticmethod
    def _rate(state: TrainState) -> str:
        return f"{float(jax.device_get(state.guard.rate)):g}"
