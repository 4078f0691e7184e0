"""The demo's story at toy widths, under the Python that runs this; make smoke PYTHON=python3.13.

Prepares, trains, is stopped, goes on, evaluates, predicts. Ends with status 1 at what fails.
"""

import os
import sys
import tempfile
from pathlib import Path

from versions import SAVED, STEPS, event_steps, losses, rises, run, stopped, versions

RUN = Path("runs/demo")


def main() -> None:
    python = sys.executable
    print(versions(python), flush=True)
    run(python, "prepare")
    stopped(python, RUN)
    run(python, "train")
    events, steps = event_steps(RUN), list(losses(RUN))
    if events.get("T1", 0) < SAVED or steps != list(range(1, STEPS + 1)):
        sys.exit(f"it did not go on where it was stopped: events {events}, steps {steps}")
    print(f"trained, stopped at step {events['T1']}, went on to step {steps[-1]}", flush=True)
    table = run(python, "evaluate", f"--run={RUN}")
    print(f"evaluated: {table.strip().splitlines()[-2]}", flush=True)
    print(f"P(up) {rises(python, RUN)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        main()
