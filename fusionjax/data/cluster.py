"""Workers of Dask embed and decode all contents: processes of this machine, or those of a cluster.

A task is a share of ``data.shares``. Dask gives the tasks of a worker that died to others, and they
find what it had stored. What travels is names of functions and of settings, no data and no code.
"""

import contextlib
import dataclasses
import importlib
import logging
import runpy
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import dask
from distributed import Client, LocalCluster, as_completed, get_worker
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker
from distributed.utils import sync
from rich.progress import Progress

from fusionjax.config import DataConfig
from fusionjax.data import contents, shares
from fusionjax.data.prepare import writing
from fusionjax.data.shares import Share
from fusionjax.errors import InputError

# So that the work balances, and little is done twice; of a cluster, which may grow meanwhile.
_SHARES_A_WORKER, _SHARES_OF_A_CLUSTER = 4, 64
_PACKAGE = Path(__file__).parents[1]
# The library of records redirects the output of the whole process.
_ONE_AT_A_TIME = threading.Lock()


@dataclasses.dataclass(frozen=True)
class _Job:
    """What all tasks of a call have in common.

    Attributes:
      config: with absolute paths.
      settings: a user's config file, which may register modalities and sources; or empty.
      seen: paths that exist where the call was made.
    """

    config: DataConfig
    settings: str
    seen: tuple[str, ...]


def store(config: DataConfig, workers: int | str, settings: str, progress: Progress) -> None:
    """Embeds the texts and decodes the files that are not stored yet.

    Args:
      config: source, root and settings.
      workers: a number of processes on this machine, or the address of a Dask scheduler.
      settings: the config file.
      progress: shows how far it is.

    Raises:
      InputError: as ``prepare.prepare``; no scheduler answers; a worker does not see the folders,
        or cannot import the package; or a share ends worker after worker.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    contents.import_tfds(progress)
    home = Path(config.prepared).absolute()
    root = str(Path(config.root).absolute()) if config.root else ""
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        token = tempfile.NamedTemporaryFile(dir=home, prefix=".workers-")  # noqa: SIM115
    with token, _client(workers) as client:
        config = dataclasses.replace(config, root=root, prepared=str(home))
        own = str(Path(settings).absolute())
        if Path(own).is_relative_to(_PACKAGE):  # a worker has it, maybe elsewhere
            own = ""
        seen = tuple(p for p in (token.name, own, root) if p and Path(p).exists())
        job = _Job(config, own, seen)
        with _told(workers):
            _run(client, job, progress)


@contextlib.contextmanager
def _told(workers: int | str) -> Iterator[None]:
    """Says in a sentence what ended the work, where that is no bug."""
    try:
        yield
    except BaseException as e:
        # Workers that are ended amid their work, or lost, are no news then.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if isinstance(e, KilledWorker):
            raise InputError(
                f"one share ended {e.allowed_failures + 1} workers, as happens where memory is "
                "short; try fewer workers on a machine, and see what they wrote"
            ) from e
        if isinstance(e, FutureCancelledError):
            raise InputError(
                f"the Dask scheduler at {workers} is gone; run again: what is stored is kept"
            ) from e
        if isinstance(e, ImportError):
            raise InputError(
                f"a worker cannot import {e.name}; install there what is installed here"
            ) from e
        raise


@contextlib.contextmanager
def _client(workers: int | str) -> Iterator[Client]:
    if isinstance(workers, int):
        with _local(workers) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(workers)
    except (OSError, ValueError) as e:
        raise InputError(f"no Dask scheduler answers at {workers} ({e})") from e
    with client:
        yield client


def _local(count: int) -> LocalCluster:
    # Without pages, which any user of the machine could read; Dask opens a port for them even so.
    pages: dict[str, list[str]] = {
        f"distributed.{who}.http.routes": [] for who in ("scheduler", "worker")
    }
    # Ctrl-C is for this thread: those that it starts inherit the mask, and workers theirs, unless
    # the tracker, which starts with the first and lifts the mask for good, were not there before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with dask.config.set(pages):
            return LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                security=True,  # whoever may connect may run code
                memory_limit=None,  # with one, a worker that used most of it is paused for good
                env={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # all share a GPU
                silence_logs=logging.ERROR,  # of workers
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # 8787 may be another's
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(client: Client, job: _Job, progress: Progress) -> None:
    """Has all shares stored."""
    client.run(importlib.import_module, __name__)  # a worker that cannot would end, and say nothing
    there = len(client.scheduler_info(n_workers=-1)["workers"])
    count = _SHARES_A_WORKER * there
    if client.cluster is None:
        count = max(count, _SHARES_OF_A_CLUSTER)
    bar = progress.add_task("shares", total=count, note=f"{there} worker(s)")
    began = time.monotonic()
    todo = [Share(i, count) for i in range(count)]
    # Not pure: to Dask the same arguments would be the same work, which a running one has done.
    done = as_completed(client.map(_store, todo, job=job, pure=False))
    for n, share in enumerate(done, start=1):
        if refused := share.result():
            raise InputError(refused)
        rate = 60 * n / (time.monotonic() - began)
        progress.update(bar, completed=n, note=f"{rate:.3g} a minute")


def _store(share: Share, job: _Job) -> str | None:
    """Stores a share in a worker; returns why it cannot, which Dask would log as a bug."""
    for path in job.seen:
        if not Path(path).exists():
            return (
                f"the worker on {socket.gethostname()} does not see {path}; all workers must see "
                "the same folders under the same paths"
            )
    with _ONE_AT_A_TIME:
        sync(get_worker().loop, _import_tfds)
        try:
            if job.settings:
                runpy.run_path(job.settings)
            shares.store(job.config, share, Progress(disable=True))
        except InputError as e:
            return str(e)
    return None


async def _import_tfds() -> None:
    """In the thread of the worker's messages, which would fail while another thread imports it
    (findings/tfds_import_breaks_other_threads.sh)."""
    contents.import_tfds()
