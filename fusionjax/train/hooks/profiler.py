"""A trace of some steps, on demand."""

import jax

from fusionjax.parallel import processes
from fusionjax.telemetry import say
from fusionjax.train.hook import Hook, TrainingLoop

_TRIGGER, _TRACED = "profile", 5  # file that requests a trace, and its steps


class Profiler(Hook):
    """Traces some steps when a file called ``profile`` appears in a training's folder.

    The trace goes to ``profile_<step>`` beside it, for TensorBoard or Perfetto.
    """

    _until: int | None = None  # last step of the running trace

    def before_step(self, loop: TrainingLoop) -> None:
        """Begins a requested trace; ends a complete one."""
        folder, step = loop.folder, loop.step
        if self._until is not None:
            if step >= self._until:
                self.closed(loop)
        elif folder is not None and processes.first() and (folder / _TRIGGER).exists():
            (folder / _TRIGGER).unlink()
            jax.profiler.start_trace(folder / f"{_TRIGGER}_{step}")
            self._until = step + _TRACED
            say(f"tracing steps {step} to {self._until - 1} into {folder}/{_TRIGGER}_{step}")

    def closed(self, loop: TrainingLoop) -> None:
        """Ends a running trace."""
        if self._until is not None:
            jax.profiler.stop_trace()
            self._until = None
