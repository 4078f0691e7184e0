"""Reacts to a non-finite step or a rebounding loss, and reports it."""

import dataclasses
from typing import Any

import jax

from fusionjax.data import provenance
from fusionjax.errors import InputError
from fusionjax.train import events, guards
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.nonfinite_debugger import Finding, debug_step, record
from fusionjax.train.quarantine import Exclusions
from fusionjax.train.rebound import GuardDecision, Rebound
from fusionjax.train.state import TrainState


class Guards(Hook):
    """Acts on the guards in the state and on the losses.

    Args:
      rebound: the losses so far, and the best state.
      exclusions: excluded samples; those that break a step are added.
    """

    def __init__(self, rebound: Rebound, exclusions: Exclusions) -> None:
        self._rebound, self._exclusions = rebound, exclusions
        self._decision = GuardDecision()
        self._by_chance: int | None = None  # step that was non-finite once and finite when repeated

    def opened(self, loop: TrainingLoop) -> None:
        """Excludes the samples on file from the batches."""
        if count := len(self._exclusions):
            excluded = self._exclusions.excluded
            text = f"{excluded} sample(s) excluded, {count - excluded} reweighted"
            events.tell("S1", f"{text}; fusionjax samples lists them", loop.folder)
        loop.batch_source = loop.batch_source.weighing(self._exclusions.weights)
        recorded = [] if loop.folder is None else events.read(loop.folder)
        skipped = (row["skipped"] for row in recorded if row.get("code") == "G1")
        self._skipped = max(skipped, default=0)

    def dispatched(self, loop: TrainingLoop) -> None:
        """Reads the losses up to an earlier step."""
        self._decision = self._rebound.look()

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """Reads the logged metrics of an earlier step; stores the losses up to this one."""
        if loop.logged is not None and loop.logged["halted"]:
            self._decision = dataclasses.replace(self._decision, halted=True)
        elif loop.logged is not None:
            self.report_skipped(int(loop.logged["skipped"]), loop)
        self._rebound.hold(loop.step, loop.state)

    def review(self, loop: TrainingLoop) -> bool:
        """Before a save, waits for the device and checks the state; acts on the decision."""
        decision = self._decision
        if loop.saving and not decision.acts:
            decision = self._rebound.look()
            halted = decision.halted or bool(jax.device_get(loop.state.guard.halted))
            decision = dataclasses.replace(decision, halted=halted)
        if not decision.acts:
            return False
        with loop.goodput.spent("lost"):
            if decision.halted and loop.stopping:  # the next start reproduces it
                loop.state = self._rebound.freed(loop.state)
            elif decision.seen is None:
                loop.state = self._recover(loop)
            else:
                loop.state = self._report_rebound(loop, decision)
        return True

    def rewound(self, loop: TrainingLoop) -> None:
        """Drops the losses of steps that were undone."""
        self._rebound.rewind()

    def report_skipped(self, skipped: int, loop: TrainingLoop) -> None:
        """Reports the updates skipped since the last report."""
        if skipped > self._skipped:
            new, self._skipped = skipped - self._skipped, skipped
            text = f"{new} update(s) skipped for unusually large gradients; {skipped} in all"
            events.tell("G1", text, loop.folder, skipped=skipped)

    def _report_rebound(self, loop: TrainingLoop, decision: GuardDecision) -> TrainState:
        """Reports a rebound; returns the best state, or the present one if no rollback is left."""
        assert decision.seen is not None
        assert decision.best is not None
        seen, best, back = decision.seen, decision.best, decision.state
        distance = seen.above(best, self._rebound.history.usual_error())
        text = (
            f"loss {seen.loss:.4f} ± {seen.error:.4f} at step {seen.step}, "
            f"{distance:.1f} standard errors above {best.loss:.4f} ± {best.error:.4f}"
        )
        if back is None:
            times = loop.run.config.guard.max_rollbacks
            more = f"all {times} rollbacks are used, so training goes on as it is"
            events.tell("G3", f"{text}; {more}", loop.folder, step=seen.step)
            return loop.state
        more = f"back to the state of step {best.step}, learning rate × {_rate(back)}"
        events.tell("G2", f"{text}; {more}", loop.folder, step=seen.step, back_to=best.step)
        return back

    def _recover(self, loop: TrainingLoop) -> TrainState:
        """The state to continue from after a non-finite step.

        Raises:
          InputError: no remedy is left.
        """
        finding, described = self._debug(loop)
        if finding.cause == "samples":
            self._exclude(loop, finding, described)
            return self._rebound.freed(loop.state)
        if finding.cause == "chance" and self._by_chance != finding.step:
            self._by_chance = finding.step
            text = f"step {finding.step} is finite when repeated; training goes on"
            events.tell("N3", text, loop.folder, step=finding.step)
            return self._rebound.freed(loop.state)
        back = self._rebound.back((loop.state.guard, guards.counters(loop.state)))
        if back is None:
            raise InputError(
                f"training cannot go on: {finding}. It was rolled back "
                f"{self._rebound.history.rollbacks} of {loop.run.config.guard.max_rollbacks} times "
                "and has no finite state left to restore; the last checkpoint stays. Lower "
                "train.learning_rate"
            )
        best = self._rebound.history.best
        assert best is not None
        text = f"back to the state of step {best.step}, learning rate × {_rate(back)}"
        events.tell("N4", text, loop.folder, step=finding.step, back_to=best.step)
        return back

    def _debug(self, loop: TrainingLoop) -> tuple[Finding, list[dict[str, Any]]]:
        """Diagnoses the step and describes the samples that break it; records both."""
        finding = debug_step(loop.run, loop.batch_source, loop.state, loop.reference)
        described = [loop.run.windows.describe(row) for row in finding.samples]
        text = str(finding)
        if loop.folder is not None:
            path = record(loop.folder, finding, loop.batch_source[finding.step], described)
            text += f". Arrays and names are in {path}"
        events.tell("N1", text, loop.folder, step=finding.step)
        return finding, described

    def _exclude(self, loop: TrainingLoop, finding: Finding, described: list[dict]) -> None:
        limit = loop.run.config.guard.max_quarantined
        total = self._exclusions.excluded + len(described)
        if total > limit:
            raise InputError(
                f"training cannot go on: {finding}. {total} samples would be excluded, "
                f"guard.max_quarantined allows {limit}; check "
                + ", ".join(provenance.named(d) for d in described[:8])
            )
        self._exclusions.add(described, finding.step, str(finding))
        loop.batch_source = loop.batch_source.weighing(self._exclusions.weights)
        names = ", ".join(provenance.named(d) for d in described)
        text = f"{len(described)} sample(s) excluded: {names}; fusionjax samples shows them"
        events.tell("N2", text, loop.folder, step=finding.step, samples=list(finding.samples))


def _rate(state: TrainState) -> str:
    return f"{float(jax.device_get(state.guard.rate)):g}"
