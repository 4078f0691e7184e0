"""Drives the fuzz tests by coverage: the same properties, many more cases, bounds on each.

    python tests/fuzz/drive.py --cases=100000                          all readers
    python tests/fuzz/drive.py --cases=5000 --only=images --seconds=60
    python tests/fuzz/drive.py --only=images --replay=FILE             a case that failed, again

Cases are bytes that libFuzzer mutates toward new branches of fusionjax, Pillow and the other
parsers written in Python (through atheris), and from which hypothesis draws what a test is given.
Each reader has a process of its own, so that a crash in C ends no other. A case fails when its
property does, when it takes more than ``--slowest`` seconds, or when the process then has had more
than ``--memory`` MB above what it had when all was imported. Exit status 1 if any case failed;
``TMPDIR`` in memory makes it faster.
"""

import argparse
import collections
import importlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
# Module and test of each reader, and its share of the cases: the dearer a case, the fewer.
TARGETS = {
    "bars": ("test_fuzz_tables", "test_bars", 0.07),
    "texts": ("test_fuzz_tables", "test_texts", 0.05),
    "manifests": ("test_fuzz_tables", "test_manifests", 0.06),
    "images": ("test_fuzz_media", "test_pictures", 0.22),
    "audio": ("test_fuzz_media", "test_sound", 0.18),
    "video": ("test_fuzz_media", "test_video", 0.13),
    "frames": ("test_fuzz_media", "test_frames", 0.08),
    "overrides": ("test_fuzz_config", "test_overrides", 0.1),
    "config": ("test_fuzz_config", "test_json", 0.07),
    "archives": ("test_fuzz_archives", "test_archives", 0.03),
    "checkpoints": ("test_fuzz_checkpoints", "test_checkpoints", 0.01),
}
INSTRUMENTED = ["fusionjax.data", "fusionjax.config", "fusionjax.train.checkpoint", "PIL", "dacite"]
SEEDS, LONGEST = 200, 8192  # random inputs to start from, and the most bytes of one
MB = 2**20


def main() -> int:
    """The table of all readers."""
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--cases", type=int, default=100_000, help="in total")
    ask.add_argument("--only", default=",".join(TARGETS), help="readers, with commas")
    ask.add_argument("--seconds", type=float, default=3600.0, help="at most, for each reader")
    ask.add_argument("--slowest", type=float, default=10.0, help="seconds that a case may take")
    ask.add_argument("--memory", type=int, default=1024, help="MB that cases may add")
    ask.add_argument("--failures", type=Path, default=Path("fuzz_failures"), help="folder for them")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--replay", type=Path, help="input of a case that failed")
    ask.add_argument("--worker", type=Path, help=argparse.SUPPRESS)  # where a child's report goes
    asked = ask.parse_args()
    wanted = asked.only.split(",")
    if unknown := set(wanted) - set(TARGETS):
        ask.error(f"--only={','.join(unknown)}: no such reader; expected {', '.join(TARGETS)}")
    if asked.replay:
        test_of(wanted[0])(asked.replay.read_bytes())
        return 0
    if asked.worker:
        work(wanted[0], asked)
    total = sum(TARGETS[name][2] for name in wanted)
    row = "{:12} {:>9} {:>9} {:>9} {:>9} {:>12} {:>9} {:>8}".format
    titles = ("cases", "read", "refused", "failures", "slowest ms", "peak MB", "s")
    lines = [row("reader", *titles)]
    failed = 0
    for name in wanted:
        told = ordered(name, round(asked.cases * TARGETS[name][2] / total), asked)
        failed += told["failures"]
        lines.append(row(name, *told.values()))
        print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))
    return 1 if failed else 0


def ordered(name: str, cases: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Runs one reader's process and returns its report; its death is a failure."""
    asked.failures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        report, log = Path(scratch) / "report.json", asked.failures / f"{name}.log"
        kept = ("seconds", "slowest", "memory", "failures", "seed")
        command = [sys.executable, __file__, f"--only={name}", f"--cases={cases}"]
        command += [f"--{key}={getattr(asked, key)}" for key in kept] + [f"--worker={report}"]
        with log.open("wb") as f:  # parsers in C write there what they think of their input
            env = {**os.environ, "TMPDIR": scratch}  # it ends without cleaning up
            done = subprocess.run(command, stdout=f, stderr=f, env=env, check=False)
        whole = report.exists()
        told = json.loads(report.read_text()) if whole else Report().told()
    if done.returncode or not whole:
        told["failures"] += 1
        print(f"{name}: ended with {done.returncode}; see {log}", file=sys.stderr)
    return told


class Report:
    """What one process has seen so far."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.cases = self.failures = 0
        self.slowest = 0.0
        self.began = time.monotonic()

    def told(self) -> dict[str, Any]:
        """The columns of the table."""
        read, refused = self.outcomes["read"], self.outcomes["refused"]
        return {
            "cases": self.cases,
            "read": read,
            "refused": refused,
            "failures": self.failures,
            "slowest": round(1000 * self.slowest),
            "peak": peak() // MB,
            "seconds": round(time.monotonic() - self.began),
        }


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_of(name: str) -> Callable[[bytes], Any]:
    """A reader's property as a function of bytes."""
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    module, test, _ = TARGETS[name]
    return getattr(importlib.import_module(module), test).hypothesis.fuzz_one_input


def work(name: str, asked: argparse.Namespace) -> None:
    """Fuzzes one reader, writes its report, and ends the process."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        test = test_of(name)
    import watch

    rng = random.Random(asked.seed)
    seeds = [rng.randbytes(rng.randint(64, LONGEST // 2)) for _ in range(SEEDS)]
    for seed in seeds[:20]:  # what is imported or built on first use belongs to no case
        attempt(test, seed)
    watch.OUTCOMES.clear()
    report, known, base = Report(), set(), peak()
    report.outcomes = watch.OUTCOMES
    # A case that wants all memory fails before the machine does.
    most = psutil.Process().memory_info().vms + 4 * asked.memory * MB
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

    def one(data: bytes) -> None:
        began, judged = time.monotonic(), watch.OUTCOMES.total()
        why = attempt(test, data)
        took = time.monotonic() - began
        report.slowest = max(report.slowest, took)
        grown = (peak() - base) // MB
        if took > asked.slowest:
            why = why or f"took {took:.1f} s"
        if grown > asked.memory:
            why = why or f"the process grew by {grown} MB"
        # Bytes from which hypothesis cannot draw a whole case are none.
        report.cases += why is not None or watch.OUTCOMES.total() > judged
        if why is not None:
            report.failures += 1
            if why not in known:
                known.add(why)
                keep(name, data, why, asked)
        enough = report.cases >= asked.cases or grown > asked.memory
        if enough or time.monotonic() - report.began > asked.seconds:
            asked.worker.write_text(json.dumps(report.told()))
            sys.stdout.flush()
            os._exit(0)  # libFuzzer never returns

    corpus = asked.worker.parent / "corpus"
    corpus.mkdir()
    for i, seed in enumerate(seeds):
        (corpus / f"{i}").write_bytes(seed)
    hard = round(6 * asked.slowest)  # for what no Python code can end
    limits = [f"-max_len={LONGEST}", "-len_control=0", f"-timeout={hard}", "-rss_limit_mb=0"]
    where = [f"-artifact_prefix={asked.failures.resolve()}/{name}-", f"-seed={asked.seed + 1}"]
    atheris.Setup([sys.argv[0], *limits, *where, str(corpus)], one)
    atheris.Fuzz()


def attempt(test: Callable[[bytes], Any], data: bytes) -> str | None:
    """Why a case failed, in words that are the same for the same reason; None where it did not."""
    try:
        test(data)
    except Exception as e:
        first = e.exceptions[0] if isinstance(e, ExceptionGroup) else e
        at = traceback.extract_tb(first.__traceback__)
        ours = [f for f in at if "fusionjax" in f.filename and "site-packages" not in f.filename]
        place = (ours or at)[-1]
        words = str(first).partition("\n")[0][:300]
        return f"{type(first).__name__} in {place.name}, line {place.lineno}: {words}"
    return None


def keep(name: str, data: bytes, why: str, asked: argparse.Namespace) -> None:
    """Writes a failing input beside the command that replays it."""
    path = asked.failures / f"{name}-{len(list(asked.failures.glob(f'{name}-*.bin')))}.bin"
    path.write_bytes(data)
    command = f"python tests/fuzz/drive.py --only={name} --replay={path}"
    path.with_suffix(".txt").write_text(f"{why}\n{command}\n")
    print(f"FAILURE {why}\n  {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
