"""Tools of an item: clocks, commands, and the file of its figures.

python -m gpu_items.bench MODULE FIGURES KIT SECONDS rehearse|measure    # as runner.py starts it
"""

import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
NEEDS_GPU = "needs a GPU"


@dataclasses.dataclass(frozen=True)
class Bench:
    """Given to an item's ``measure``.

    Attributes:
      rehearse: on the CPU at toy widths.
      figures: the file of the figures, a line of JSON each.
      kit: the folder of the planted market.
      until: when the budget ends, of ``time.monotonic``.
    """

    rehearse: bool
    figures: Path
    kit: Path
    until: float

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def figure(
        self,
        what: str,
        values: float | Sequence[float],
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        note: str = "",
    ) -> float:
        """Writes down a measurement, with its goal if it has one; returns the median of repeats."""
        each = [float(v) for v in np.atleast_1d(values)]
        self._write(
            what=what, values=each, unit=unit, at_most=at_most, at_least=at_least, note=note
        )
        return float(np.median(each))

    def claim(self, what: str, holds: bool, note: str = "") -> None:
        """Writes down whether something holds; the item has failed where it does not."""
        self._write(what=what, holds=bool(holds), note=note)

    def note(self, what: str, text: str) -> None:
        """Writes down a text."""
        self._write(what=what, text=text)

    def missing(self, what: str, why: str) -> None:
        """Writes down that something was not measured."""
        self._write(what=what, missing=why)

    def fail(self, error: Exception) -> None:
        """Writes down why the item ends here."""
        self._write(error=f"{type(error).__name__}: {error}")

    def _write(self, **row: Any) -> None:
        with self.figures.open("a") as f:
            f.write(json.dumps(row) + "\n")

    def repeats(self, on_gpu: int = 7) -> int:
        """How often something is timed."""
        return 2 if self.rehearse else on_gpu

    def launch(
        self,
        script: str,
        config: str,
        *flags: str,
        status: tuple[int, ...] = (0,),
        until: Callable[[], bool] | None = None,
        environment: dict[str, str] | None = None,
    ) -> str:
        """Runs one of the package's commands here and returns its output.

        Args:
          script: of launch/, or with its folder.
          config: of configs/.
          flags: of the command.
          status: how it may end.
          until: polled; once it is true the command gets SIGTERM.
          environment: added to this process's.

        Raises:
          RuntimeError: it ended with another status; holds the end of its output.
        """
        script = script if "/" in script else f"launch/{script}"
        command = [sys.executable, str(ROOT / f"{script}.py")]
        command += [f"--config={ROOT / 'configs' / config}.py", *flags]
        variables = {**os.environ, **(environment or {})}
        with tempfile.TemporaryFile("w+") as log:
            child = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)
            while until is not None and child.poll() is None:
                if until():
                    child.send_signal(signal.SIGTERM)
                    until = None
                time.sleep(0.05)
            child.wait()
            log.seek(0)
            output = log.read()
        if child.returncode not in status:
            end = " / ".join(output.strip().splitlines()[-6:])
            raise RuntimeError(f"{script}.py ended with status {child.returncode}: {end}")
        return output


def timed(work: Callable[[], Any], repeats: int, warm: int = 1) -> list[float]:
    """Seconds of each call, until what it returns is there; the first ``warm`` do not count."""
    import jax

    seconds = []
    for _ in range(warm + repeats):
        started = time.perf_counter()
        jax.block_until_ready(work())
        seconds.append(time.perf_counter() - started)
    return seconds[warm:]


def on_gpu() -> bool:
    """Whether JAX computes on a GPU here."""
    import jax

    return jax.default_backend() == "gpu"


if __name__ == "__main__":
    module, figures, kit, seconds, how = sys.argv[1:]
    bench = Bench(how == "rehearse", Path(figures), Path(kit), time.monotonic() + float(seconds))
    try:
        importlib.import_module(module).measure(bench)
    except Exception as e:
        bench.fail(e)
        raise
