"""Trains a list of configs, one after the other, unattended.

python launch/group.py --configs=configs/demo.py,configs/acl18.py --seeds=5
Each goes on where it was; one that fails is told and the next begins. Status 75 if stopped by a
signal (the same command goes on), else that of the first that failed. launch/report.py --live
shows where each is. Several processes each run this: they train together.
"""

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from absl import flags

from fusionjax import app
from fusionjax.errors import InputError

_CONFIGS = flags.DEFINE_list("configs", [], "Config files")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Of each")


class TrainingGroup:
    """One training at a time, to which signals are passed on.

    A signal between two trainings must end the group with status 75 too.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._child: subprocess.Popen | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True
        if self._child is not None:
            self._child.terminate()  # after Ctrl-C as well, though the child got SIGINT too

    def train(self, config: str) -> int:
        """The exit status of one config's training."""
        command = [sys.executable, str(Path(__file__).with_name("train.py")), f"--config={config}"]
        command += [f"--seeds={_SEEDS.value}"] + ["--cpu_mesh"] * flags.FLAGS.cpu_mesh
        with subprocess.Popen(command) as self._child:
            if self.stopped:
                self._child.terminate()
            status = self._child.wait()
        return app.EXIT_PREEMPTED if status and self.stopped else status


def main(_: None) -> None:
    from fusionjax.report import live

    configs = _CONFIGS.value
    missing = [c for c in configs if not Path(c).is_file()]
    if missing or not configs:
        raise InputError(f"--configs: no such file: {', '.join(missing)}; give config files, a,b,…")
    trainings, states, worst = TrainingGroup(), dict.fromkeys(configs, "not begun"), 0
    ended = {0: live.DONE, app.EXIT_PREEMPTED: "stopped; the same command goes on"}
    for config in configs:
        tell(states, config, "begun")
        status = app.EXIT_PREEMPTED if trainings.stopped else trainings.train(config)
        tell(states, config, ended.get(status, f"failed with status {status}"))
        if status == app.EXIT_PREEMPTED:
            worst = status
            break
        if status:
            print(f"{config}: failed with status {status}; going on", file=sys.stderr, flush=True)
        worst = worst or status
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # late ones: the interpreter is shutting down
    sys.exit(worst)


def tell(states: dict[str, str], config: str, state: str) -> None:
    from fusionjax.parallel import processes
    from fusionjax.report import live

    states[config] = state
    if (processes.described() or (0, 1))[0] == 0:
        live.keep_group(Path("runs"), states)


if __name__ == "__main__":
    app.run(main, needs_config=False)
