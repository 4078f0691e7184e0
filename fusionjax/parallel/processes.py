"""Runs of several processes: joining, comparing settings, taking turns, detecting a lost one.

In a run of one process every function here is trivial.
"""

import contextlib
import faulthandler
import itertools
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax._src import distributed  # its key-value store has no public name; Orbax uses it likewise
from jax.experimental import multihost_utils

from fusionjax.errors import InputError
from fusionjax.parallel.xla_flags import set_for_process

HEARTBEAT_SECONDS = 60  # a process silent for so long is taken for dead, and the others end
_JOIN_SECONDS = 600
_AGREE_SECONDS = 600
_TURN_SECONDS = 24 * 3600  # the first prepares data; that may take long
_MEETINGS = itertools.count()  # exchanges need unique names, the same in all processes
_LAST_SECONDS = 5.0  # by which process 0 outlives the others in a hang
_APART = 0.1  # of a step's time, by which a straggler is slower than the others


def described() -> tuple[int, int] | None:
    """(this process, number of processes) as the environment says; None where it says nothing.

    SLURM's variables inside a job step, or JAX_COORDINATOR_ADDRESS (host:port of process 0),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Raises:
      InputError: some of them are missing or are not numbers.
    """
    e = os.environ
    if "JAX_COORDINATOR_ADDRESS" in e:
        names = ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES")
    elif "SLURM_STEP_NODELIST" in e and e.get("SLURM_NTASKS", "1") != "1":
        names = ("SLURM_PROCID", "SLURM_NTASKS")
    else:
        return None
    try:
        index, count = (int(e[name]) for name in names)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"the environment describes several processes, but {' or '.join(names)} is missing or "
            f"not a number ({error})"
        ) from error
    return index, count


def join(*, cpu: bool) -> None:
    """Joins the processes that the environment describes; call it before JAX touches a backend.

    Args:
      cpu: whether the run is on CPU devices, which then speak over TCP (Gloo).

    Raises:
      InputError: they did not come together in ten minutes.
    """
    found = described()
    if found is None or found[1] == 1:
        return
    if cpu:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    else:
        set_for_process(os.environ)
    index, count = found
    explicit = "JAX_COORDINATOR_ADDRESS" in os.environ
    try:
        jax.distributed.initialize(
            num_processes=count,
            process_id=index,
            cluster_detection_method="deactivate" if explicit else "slurm",
            initialization_timeout=_JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except RuntimeError as e:
        raise InputError(
            f"process {index} of {count} on {socket.gethostname()} did not meet the others within "
            f"{_JOIN_SECONDS} s: is process 0 running, and its port reachable? ({e})"
        ) from e


def count() -> int:
    """How many processes this run has."""
    return distributed.global_state.num_processes


def index() -> int:
    """Which of them this is."""
    return distributed.global_state.process_id


def first() -> bool:
    """Whether this is process 0, which writes the shared files."""
    return index() == 0


def require_same(name: str, value: str) -> None:
    """Compares a text over all processes; they would otherwise wait for each other forever.

    Raises:
      InputError: they differ; names who has what.
    """
    if count() == 1:
        return
    found = []
    for p, entry in enumerate(_told(f"{socket.gethostname()}\n{value}")):
        host, theirs = entry.split("\n", 1)
        found.append((p, host, theirs))
    if len({theirs for _, _, theirs in found}) > 1:
        common = set.intersection(*(set(theirs.splitlines()) for _, _, theirs in found))
        lines = "\n".join(
            f"  process {p} on {host}: "
            + " ".join(x.strip() for x in theirs.splitlines() if x not in common)
            for p, host, theirs in found
        )
        raise InputError(f"the processes do not have the same {name}:\n{lines}")


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """The block runs in the first process, and then, when that is done, in the others."""
    if count() > 1 and not first():
        _wait(_TURN_SECONDS)
    yield
    if count() > 1 and first():
        _wait(_TURN_SECONDS)


class Watchdog:
    """Ends a process that has made no step for so long, and prints the stacks of its threads.

    A hung collective cannot be interrupted from Python: the process is ended, and the others,
    without its heartbeat, end too. All processes hang together, and process 0 hosts the
    coordinator: it waits a little longer, so that the others can print their stacks first.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds + _LAST_SECONDS * (count() > 1 and first())

    def __enter__(self) -> "Watchdog":
        self.alive()
        return self

    def alive(self) -> None:
        """Restarts the countdown."""
        assert sys.__stderr__ is not None
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=sys.__stderr__)

    def __exit__(self, *_: object) -> None:
        faulthandler.cancel_dump_traceback_later()


def stopping(step: int) -> bool:
    """Whether all processes stop now because one of them got SIGTERM; call it after every step.

    Args:
      step: the same in all processes, larger every time.
    """
    return count() > 1 and multihost_utils.reached_preemption_sync_point(step)


class Pace:
    """Compares how long each process waits for its own data.

    Args:
      step: from which on waits are compared.
      waited: seconds that it has waited until then.
    """

    def __init__(self, step: int, waited: float) -> None:
        self._waited, self._step = waited, step

    def compared(self, step: int, rate: float, waited: float) -> list[str]:
        """Publishes this process's waiting time; returns a line on each process that is slow.

        Args:
          step: now.
          rate: steps a second.
          waited: seconds that this process has waited in all.
        """
        if count() == 1 or step <= self._step:
            return []
        client: Any = distributed.global_state.client
        mine = (waited - self._waited) / (step - self._step)
        self._waited, self._step = waited, step
        entry = json.dumps([socket.gethostname(), mine])
        client.key_value_set(f"fusionjax/pace/{index()}", entry, allow_overwrite=True)
        told = {
            int(key.rsplit("/", 1)[1]): tuple(json.loads(entry))
            for key, entry in client.key_value_dir_get("fusionjax/pace/")
        }
        return named(told, 1 / rate)


def named(waited: dict[int, tuple[str, float]], step_seconds: float) -> list[str]:
    """The processes whose own wait is above the median one by a tenth of a step."""
    if len(waited) < 2:
        return []
    usual = statistics.median_low([seconds for _, seconds in waited.values()])
    return [
        f"process {p} on {host} waits {seconds:.3f} s a step for its data, the others {usual:.3f}: "
        "it holds everyone up; look at its disk and its load"
        for p, (host, seconds) in sorted(waited.items())
        if seconds > usual + _APART * step_seconds
    ]


def clock_skew() -> float:
    """Seconds between the fastest and the slowest clock, accurate to a message's latency."""
    if count() == 1:
        return 0.0
    _wait(_AGREE_SECONDS)
    clocks = [float(entry) for entry in _told(str(time.time()))]
    return max(clocks) - min(clocks)


def _told(value: str) -> list[str]:
    """The value of every process; all of them must make each call."""
    client: Any = distributed.global_state.client
    name = f"fusionjax/{next(_MEETINGS)}"
    client.key_value_set(f"{name}/{index()}", value)
    return [
        client.blocking_key_value_get(f"{name}/{p}", _AGREE_SECONDS * 1000) for p in range(count())
    ]


def _wait(seconds: float) -> None:
    """Waits for every process to get here."""
    client: Any = distributed.global_state.client
    client.wait_at_barrier(f"fusionjax/{next(_MEETINGS)}", round(seconds * 1000))
