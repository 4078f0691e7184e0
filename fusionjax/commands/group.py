"""Trains a list of configs, one after the other, unattended.

fusionjax group --configs=configs/demo.py,configs/acl18.py --seeds=5
An override, such as --config.train.steps=800, is of all of them.
Each resumes where it was; if one fails, that is reported and the next begins. Exit status: 75 if
stopped by a signal (the same command resumes), else that of the first failure. fusionjax report
--live shows the progress of each. With several processes, each runs this command.
"""

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from absl import flags

from fusionjax import app
from fusionjax.configs import installed
from fusionjax.errors import InputError

_CONFIGS = flags.DEFINE_list("configs", [], "Config files")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Seeds of each config")


class TrainingGroup:
    """Runs one training at a time and passes signals on to it.

    A signal between two trainings ends the group with status 75 too.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._child: subprocess.Popen | None = None
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True
        if self._child is not None:
            self._child.terminate()  # after Ctrl-C too, although the child also got SIGINT

    def train(self, config: str) -> int:
        """The exit status of one config's training."""
        command = [sys.executable, *app.words("train"), f"--config={config}"]
        command += [f"--seeds={_SEEDS.value}"] + ["--cpu_mesh"] * flags.FLAGS.cpu_mesh
        command += app.typed_overrides()
        with subprocess.Popen(command) as self._child:
            if self.stopped:
                self._child.terminate()
            status = self._child.wait()
        return app.EXIT_PREEMPTED if status and self.stopped else status


def main(_: None) -> None:
    from fusionjax.report import live

    configs = _CONFIGS.value
    missing = [c for c in configs if not Path(c).is_file() and installed(c) is None]
    if missing or not configs:
        raise InputError(f"--configs: no such file: {', '.join(missing)}; give config files, a,b,…")
    trainings, states, worst = TrainingGroup(), dict.fromkeys(configs, "not begun"), 0
    outcomes = {0: live.DONE, app.EXIT_PREEMPTED: "stopped; the same command goes on"}
    for config in configs:
        report(states, config, "begun")
        status = app.EXIT_PREEMPTED if trainings.stopped else trainings.train(config)
        report(states, config, outcomes.get(status, f"failed with status {status}"))
        if status == app.EXIT_PREEMPTED:
            worst = status
            break
        if status:
            print(f"{config}: failed with status {status}; going on", file=sys.stderr, flush=True)
        worst = worst or status
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # late ones: the interpreter is shutting down
    sys.exit(worst)


def report(states: dict[str, str], config: str, state: str) -> None:
    from fusionjax.parallel import processes
    from fusionjax.report import live

    states[config] = state
    if (processes.described() or (0, 1))[0] == 0:
        live.keep_group(Path("runs"), states)
