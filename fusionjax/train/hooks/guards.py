"""What follows a non-finite step or a loss that rebounds: who is told, and what is done."""

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
    """Acts on what the guards in the state, and the losses, say.

    Args:
      rebound: the losses so far, and the best state.
      exclusions: samples that are taken out; those that break a step are added.
    """

    def __init__(self, rebound: Rebound, exclusions: Exclusions) -> None:
        self._rebound, self._exclusions = rebound, exclusions
        self._decision = GuardDecision()
        self._by_chance: int | None = None  # the step that was non-finite by chance

    def opened(self, loop: TrainingLoop) -> None:
        """Excludes the samples on file from the feeds."""
        if count := len(self._exclusions):
            out = self._exclusions.excluded
            text = f"{out} sample(s) taken out, {count - out} weighed anew"
            events.tell("S1", f"{text}; launch/samples.py lists them", loop.folder)
        loop.batch_source = loop.batch_source.weighing(self._exclusions.weights)
        on_record = [] if loop.folder is None else events.told(loop.folder)
        skipped = (row["skipped"] for row in on_record if row.get("code") == "G1")
        self._skipped = max(skipped, default=0)

    def dispatched(self, loop: TrainingLoop) -> None:
        """Reads the losses up to an earlier step."""
        self._decision = self._rebound.look()

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """Reads what the log says of an earlier step; keeps the losses up to this one."""
        if loop.logged is not None and loop.logged["halted"]:
            self._decision = dataclasses.replace(self._decision, halted=True)
        elif loop.logged is not None:
            self.tell_skipped(int(loop.logged["skipped"]), loop)
        self._rebound.hold(loop.step, loop.state)

    def review(self, loop: TrainingLoop) -> bool:
        """Waits for the device where the state is to be saved; acts on what was seen."""
        decision = self._decision
        if loop.saving and not decision.acts:
            decision = self._rebound.look()
            halted = decision.halted or bool(jax.device_get(loop.state.guard.halted))
            decision = dataclasses.replace(decision, halted=halted)
        if not decision.acts:
            return False
        with loop.goodput.spent("lost"):
            if decision.halted and loop.stopping:  # the next start meets it again
                loop.state = self._rebound.freed(loop.state)
            elif decision.seen is None:
                loop.state = self._recovered(loop)
            else:
                loop.state = self._rebounded(loop, decision)
        return True

    def rewound(self, loop: TrainingLoop) -> None:
        """Drops the losses of steps that were not made."""
        self._rebound.rewind()

    def tell_skipped(self, skipped: int, loop: TrainingLoop) -> None:
        """Tells of updates that were left out since it was last asked."""
        if skipped > self._skipped:
            new, self._skipped = skipped - self._skipped, skipped
            text = f"{new} update(s) skipped, whose gradients stood out; {skipped} in all"
            events.tell("G1", text, loop.folder, skipped=skipped)

    def _rebounded(self, loop: TrainingLoop, decision: GuardDecision) -> TrainState:
        """The best state, or the present one where there is no way back any more."""
        assert decision.seen is not None
        assert decision.best is not None
        seen, best, back = decision.seen, decision.best, decision.state
        far = seen.above(best, self._rebound.history.usual_error())
        text = (
            f"loss {seen.loss:.4f} ± {seen.error:.4f} at step {seen.step}, "
            f"{far:.1f} standard errors above {best.loss:.4f} ± {best.error:.4f}"
        )
        if back is None:
            times = loop.run.config.guard.max_rollbacks
            more = f"it went back {times} times already and now goes on as it is"
            events.tell("G3", f"{text}; {more}", loop.folder, step=seen.step)
            return loop.state
        more = f"back to the state of step {best.step}, learning rate × {_rate(back)}"
        events.tell("G2", f"{text}; {more}", loop.folder, step=seen.step, back_to=best.step)
        return back

    def _recovered(self, loop: TrainingLoop) -> TrainState:
        """The state to go on from after a non-finite step.

        Raises:
          InputError: nothing makes it finite.
        """
        finding, described = self._debugged(loop)
        if finding.cause == "samples":
            self._exclude(loop, finding, described)
            return self._rebound.freed(loop.state)
        if finding.cause == "chance" and self._by_chance != finding.step:
            self._by_chance = finding.step
            text = f"step {finding.step} is finite this time, and training goes on from it"
            events.tell("N3", text, loop.folder, step=finding.step)
            return self._rebound.freed(loop.state)
        back = self._rebound.back((loop.state.guard, guards.counters(loop.state)))
        if back is None:
            raise InputError(
                f"training cannot go on: {finding}. It went back "
                f"{self._rebound.history.rollbacks} of {loop.run.config.guard.max_rollbacks} times "
                "and has no sound state left to go back to; the last checkpoint stands. Lower "
                "train.learning_rate"
            )
        best = self._rebound.history.best
        assert best is not None
        text = f"back to the state of step {best.step}, learning rate × {_rate(back)}"
        events.tell("N4", text, loop.folder, step=finding.step, back_to=best.step)
        return back

    def _debugged(self, loop: TrainingLoop) -> tuple[Finding, list[dict[str, Any]]]:
        """What is wrong with the step, and where the samples that break it come from; on record."""
        finding = debug_step(loop.run, loop.batch_source, loop.state, loop.reference)
        described = [loop.run.windows.describe(row) for row in finding.samples]
        text = str(finding)
        if loop.folder is not None:
            place = record(loop.folder, finding, loop.batch_source[finding.step], described)
            text += f". Arrays and names are in {place}"
        events.tell("N1", text, loop.folder, step=finding.step)
        return finding, described

    def _exclude(self, loop: TrainingLoop, finding: Finding, described: list[dict]) -> None:
        most, out = (
            loop.run.config.guard.max_quarantined,
            self._exclusions.excluded + len(described),
        )
        if out > most:
            raise InputError(
                f"training cannot go on: {finding}. {out} samples would be taken out, "
                f"guard.max_quarantined allows {most}; look at "
                + ", ".join(provenance.named(d) for d in described[:8])
            )
        self._exclusions.add(described, finding.step, str(finding))
        loop.batch_source = loop.batch_source.weighing(self._exclusions.weights)
        names = ", ".join(provenance.named(d) for d in described)
        text = f"{len(described)} sample(s) taken out: {names}; launch/samples.py shows them"
        events.tell("N2", text, loop.folder, step=finding.step, samples=list(finding.samples))


def _rate(state: TrainState) -> str:
    return f"{float(jax.device_get(state.guard.rate)):g}"
