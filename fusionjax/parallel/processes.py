"""Runs of several processes: joining, comparing settings, taking turns, detecting failures.

In a run of one process every function here returns at once.
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

HEARTBEAT_SECONDS = 60  # a process silent for so long counts as dead, and the others end
_JOIN_SECONDS = 600
_AGREE_SECONDS = 600
_TURN_SECONDS = 24 * 3600  # the first process prepares data, which may take long
_MEETINGS = itertools.count()  # exchanges need unique names, the same in all processes
_LAST_SECONDS = 5.0  # by which process 0 outlives the others when all hang
_STRAGGLER = 0.1  # of a step's time: a wait that exceeds the median by this marks a straggler


def described() -> tuple[int, int] | None:
    """(index of this process, number of processes) from the environment; None if it has neither.

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


def described_or_one() -> tuple[int, int]:
    """As ``described``; (0, 1) of a process that is the only one."""
    return described() or (0, 1)


def join(*, cpu: bool) -> None:
    """Joins the processes that the environment describes; call it before JAX touches a backend.

    Args:
      cpu: whether the run is on CPU devices, which communicate over TCP (Gloo).

    Raises:
      InputError: they did not meet within ten minutes.
    """
    environment = described()
    if environment is None or environment[1] == 1:
        return
    if cpu:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    else:
        set_for_process(os.environ)
    index, count = environment
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
    """The number of processes of this run."""
    return distributed.global_state.num_processes


def index() -> int:
    """The index of this process."""
    return distributed.global_state.process_id


def first() -> bool:
    """Whether this is process 0, which writes the shared files."""
    return index() == 0


def require_same(name: str, value: str) -> None:
    """Compares a text over all processes, which would otherwise wait for each other forever.

    Raises:
      InputError: they differ; lists the differing lines of each process.
    """
    if count() == 1:
        return
    entries = [entry.split("\n", 1) for entry in _gather(f"{socket.gethostname()}\n{value}")]
    if len({text for _, text in entries}) > 1:
        common = set.intersection(*(set(text.splitlines()) for _, text in entries))
        lines = "\n".join(
            f"  process {p} on {host}: "
            + " ".join(x.strip() for x in text.splitlines() if x not in common)
            for p, (host, text) in enumerate(entries)
        )
        raise InputError(f"the processes do not have the same {name}:\n{lines}")


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Runs the block in the first process, and afterwards in the others."""
    if count() > 1 and not first():
        _wait(_TURN_SECONDS)
    yield
    if count() > 1 and first():
        _wait(_TURN_SECONDS)


class Watchdog:
    """Ends a process that has made no step for ``seconds``, and prints the stacks of its threads.

    A hung collective cannot be interrupted from Python, so the process is ended; the others end too
    without its heartbeat. All processes hang together. Process 0 hosts the coordinator, so it exits
    last, after the others have printed their stacks.
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
      waited: seconds that this process has waited until then.
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
        own = (waited - self._waited) / (step - self._step)
        self._waited, self._step = waited, step
        entry = json.dumps([socket.gethostname(), own])
        client.key_value_set(f"fusionjax/pace/{index()}", entry, allow_overwrite=True)
        waits = {
            int(key.rsplit("/", 1)[1]): tuple(json.loads(entry))
            for key, entry in client.key_value_dir_get("fusionjax/pace/")
        }
        return named(waits, 1 / rate)


def named(waited: dict[int, tuple[str, float]], step_seconds: float) -> list[str]:
    """A line on each process whose wait exceeds the median by a tenth of a step."""
    if len(waited) < 2:
        return []
    typical = statistics.median_low([seconds for _, seconds in waited.values()])
    return [
        f"process {p} on {host} waits {seconds:.3f} s a step for its data, the others "
        f"{typical:.3f}: it holds everyone up; look at its disk and its load"
        for p, (host, seconds) in sorted(waited.items())
        if seconds > typical + _STRAGGLER * step_seconds
    ]


def clock_skew() -> float:
    """Seconds between the first and the last clock, up to a message's latency."""
    if count() == 1:
        return 0.0
    _wait(_AGREE_SECONDS)
    clocks = [float(entry) for entry in _gather(str(time.time()))]
    return max(clocks) - min(clocks)


def _gather(value: str) -> list[str]:
    """The value of every process, in order; all processes must call it."""
    client: Any = distributed.global_state.client
    name = f"fusionjax/{next(_MEETINGS)}"
    client.key_value_set(f"{name}/{index()}", value)
    return [
        client.blocking_key_value_get(f"{name}/{p}", _AGREE_SECONDS * 1000) for p in range(count())
    ]


def _wait(seconds: float) -> None:
    """Waits until every process has called it."""
    client: Any = distributed.global_state.client
    client.wait_at_barrier(f"fusionjax/{next(_MEETINGS)}", round(seconds * 1000))
