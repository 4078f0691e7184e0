"""Workers of Dask prepare one set: the same bits as one process, whoever dies in between."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from commands import ENVIRONMENT, launch
from distributed.scheduler import KilledWorker
from test_shares import QUIET, config, folder, same_bits

from fusionjax.data import cluster, contents, prepare, store
from fusionjax.data.shares import Share
from fusionjax.errors import InputError


def python(*words: str, **given: object) -> subprocess.Popen:
    """A process with a session of its own, so that a signal may reach all that it starts."""
    return subprocess.Popen(
        [sys.executable, *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **given,
    )


def prepares(place: Path, *given: str) -> subprocess.Popen:
    """The command, with ``place/market`` for its data and ``place/prepared`` for its set."""
    config, source = "--config=planted_folder", f"--source={place / 'market'}"
    return python("-m", "fusionjax", "prepare", config, source, *given, cwd=place)


def of_dask(process: subprocess.Popen) -> list[psutil.Process]:
    """The workers that a command has started."""
    children = psutil.Process(process.pid).children()
    return [c for c in children if any("spawn_main" in word for word in c.cmdline())]


def wait(until: Callable[[], object], process: subprocess.Popen) -> None:
    """Until something holds, while a process lives."""
    end = time.monotonic() + 300
    while not until():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A Dask cluster as one starts it by hand, elsewhere: its address."""
    address = tmp_path / "address"
    pages = ("--no-dashboard", "--dashboard-address=127.0.0.1:0")
    started = [
        python("-m", "dask", *words, "--host=127.0.0.1", *pages, cwd="/")
        for words in (
            ("scheduler", "--port=0", f"--scheduler-file={address}"),
            *[("worker", f"--scheduler-file={address}", "--nthreads=2")] * 2,
        )
    ]
    wait(address.exists, started[0])
    yield json.loads(address.read_text())["address"]
    for process in reversed(started):
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.slow
def test_workers_of_a_scheduler_make_the_set_that_one_process_makes(
    tmp_path: Path, scheduler: str
) -> None:
    root = folder(tmp_path / "market", 12, 5)
    alone = prepare.prepare(config(root, tmp_path / "alone").data, QUIET)
    process = prepares(tmp_path, f"--scheduler={scheduler}")
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "64/64" in said
    assert not list((tmp_path / "prepared").glob(".workers-*"))
    (made,) = (tmp_path / "prepared").glob("folder-*")
    same_bits(alone, made)


@pytest.mark.slow
def test_a_worker_is_killed_amid_its_work(tmp_path: Path) -> None:
    root = folder(tmp_path / "market", 1000, 0)
    alone = prepare.prepare(config(root, tmp_path / "alone").data, QUIET)
    kind = store.read_manifest(alone)["contents"]["image"]
    pictures = tmp_path / "prepared" / contents.HOME / kind
    process = prepares(tmp_path, "--workers=2")
    wait(lambda: any(pictures.glob("*/SHA256SUMS")), process)
    of_dask(process)[0].kill()
    assert len(contents.Index.open(pictures).keys) < 900
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "Restarting worker" in said
    assert "8/8" in said
    (made,) = (tmp_path / "prepared").glob("folder-*")
    same_bits(alone, made)


@pytest.mark.slow
def test_ctrl_c_stops_workers_without_a_word_of_theirs(tmp_path: Path) -> None:
    folder(tmp_path / "market", 2000, 0)
    process = prepares(tmp_path, "--workers=2")
    wait(lambda: list(tmp_path.glob("prepared/contents/*/*")), process)
    workers = of_dask(process)
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command begins again, with what it had kept" in said
    assert "Traceback" not in said
    assert "distributed" not in said
    assert not any(w.is_running() for w in workers)


# A source that only the user's own file knows.
OWN = """
from fusionjax.configs import planted_folder
from fusionjax.registry import SOURCES

SOURCES.register("own")(SOURCES["folder"])

def get_config():
    config = planted_folder.get_config()
    config.data.source, config.data.root = "own", "market"
    return config
"""


@pytest.mark.slow
def test_what_a_worker_refuses_is_one_sentence(tmp_path: Path) -> None:
    """Of a source that the config file brings along."""
    (folder(tmp_path / "market", 3, 0) / "bars.parquet").write_text("no table")
    (tmp_path / "own.py").write_text(OWN)
    said = launch(tmp_path, "prepare", str(tmp_path / "own"), "--workers=1", status=2)
    assert re.search(
        r"^error: .*bars.parquet: cannot be read as parquet .*\n\Z", said, re.MULTILINE
    )
    assert "0/4" in said, "of a worker"


def test_what_is_no_scheduler_is_one_sentence(tmp_path: Path) -> None:
    folder(tmp_path / "market", 3, 0)
    given = (f"--source={tmp_path / 'market'}", "--scheduler=there:8786:1")
    said = launch(tmp_path, "prepare", "planted_folder", *given, status=2)
    assert "error: no Dask scheduler answers at there:8786:1" in said
    said = launch(tmp_path, "prepare", "planted_folder", *given, "--workers=2", status=2)
    assert "At most one of (share, workers, scheduler) must have a value" in said


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    data = config(tmp_path, tmp_path / "prepared").data
    job = cluster._Job(data, "", (str(tmp_path), str(tmp_path / "elsewhere")))
    refused = cluster._store(Share(0, 1), job)
    assert refused is not None
    assert refused.endswith(
        f"does not see {tmp_path / 'elsewhere'}; all workers must see the same folders under the "
        "same paths"
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KilledWorker("share", None, 3), "one share ended 4 workers, as happens where memory is"),
        (ModuleNotFoundError("", name="av"), "a worker cannot import av; install there what"),
    ],
)
def test_what_ends_workers_is_one_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"), cluster._told(2):
        raise error
