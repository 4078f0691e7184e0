"""The ledger: a chain of records, written by many at once, and what a break of it is told as."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT

from fusionjax import chain, ledger
from fusionjax.config import Config, resolve
from fusionjax.configs import demo
from fusionjax.errors import InputError


def entry(config: Config, run: str = "runs/a", **changes: object) -> ledger.Record:
    made = ledger.record(
        "evaluate",
        config,
        ledger.Subject(run, "abc", (0, 1), "dev"),
        ledger.Result({"direction: MCC": 0.1}, {"seconds": 1.0}, {"2020-01-02": 0.01}),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def older(folder: Path, made: ledger.Record) -> None:
    """Writes a record as versions before the chain did."""
    new = {
        f.name for f in dataclasses.fields(ledger.Record) if f.default is not dataclasses.MISSING
    }
    raw = {k: v for k, v in dataclasses.asdict(made).items() if k not in {*new, "trials"}}
    (folder / f"{made.id}.json").write_text(json.dumps(raw))


def lines(folder: Path) -> list[bytes]:
    return (folder / "records.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture
def config() -> Config:
    return resolve(demo.get_config())


@pytest.fixture
def three(config: Config, tmp_path: Path) -> Path:
    for i in range(3):
        ledger.append(tmp_path / "ledger", entry(config, run=f"runs/{i}"))
    return tmp_path / "ledger"


def test_what_is_written_is_read(config: Config, tmp_path: Path) -> None:
    made = entry(config, trials={"a": {"2020-01-02": 0.01}}, locked=(("2020-01-01", "2020-02-01"),))
    ledger.append(tmp_path, made)
    assert ledger.read(tmp_path) == [made]
    assert made.config["train.steps"] == config.train.steps
    assert made.split == ("dev", *config.data.splits["dev"])
    assert made.code


def test_each_record_holds_the_sum_of_the_one_before(three: Path) -> None:
    written = [line.rstrip(b"\n") for line in lines(three)]
    sums = [hashlib.sha256(line).hexdigest() for line in written]
    assert [json.loads(line)["previous"] for line in written[1:]] == sums[:-1]
    assert json.loads(written[0])["record"]["config"]["data.source"] == "sp500"


def test_many_writers_lose_nothing_and_keep_the_chain(config: Config, tmp_path: Path) -> None:
    made = [entry(config, run=f"runs/{i}") for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda r: ledger.append(tmp_path, r), made))
    code = (
        "import sys, pathlib; from fusionjax import chain\n"
        "for i in range(20): chain.append(pathlib.Path(sys.argv[1]), {'id': f'{sys.argv[2]}{i}'})"
    )
    where = {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "p"), x], **where)
        for x in "ab"
    ]
    while any(p.poll() is None for p in both):
        chain.read(tmp_path / "p")  # a reader in the middle of it finds nothing broken
    assert [p.wait(60) for p in both] == [0, 0]
    assert {r.run for r in ledger.read(tmp_path)} == {r.run for r in made}
    assert len(chain.read(tmp_path / "p")) == 40
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: [x[0], x[2]], "has 2 records and had 3|record 2 does not follow record 1"),
        (lambda x: x[1:], "record 1 does not follow the records of an older version"),
        (lambda x: x[:2], "has 2 records and had 3: the last were removed"),
        (lambda x: [x[0], x[2], x[1]], "record 2 does not follow record 1: one was edited, moved"),
        (lambda x: [x[0].replace(b"0.1", b"0.9"), *x[1:]], "record 2 does not follow record 1"),
        (lambda x: [*x[:2], x[2].replace(b"0.1", b"0.9")], "record 3 was edited after it was"),
        (lambda x: [*x[:2], x[2][:40]], "has 2 records and had 3: the last were removed"),
        (lambda x: [*x[:2], b"{}\n"], "record 3 does not follow record 2"),
    ],
)
def test_a_record_removed_edited_or_moved_is_seen(
    three: Path, config: Config, change: object, message: str
) -> None:
    (three / "records.jsonl").write_bytes(b"".join(change(lines(three))))  # type: ignore[operator]
    for touch in (lambda: ledger.read(three), lambda: ledger.append(three, entry(config))):
        with pytest.raises(InputError, match=f"records.jsonl: ({message}).*; restore the folder"):
            touch()


def test_without_its_head_a_chain_is_not_believed(three: Path) -> None:
    (three / "head.json").unlink()
    with pytest.raises(InputError, match=r"has 3 records, but head.json counts 0; restore"):
        ledger.read(three)
    (three / "head.json").write_text("{")
    with pytest.raises(InputError, match=r"head.json: is not what was written .*; restore"):
        ledger.read(three)


def test_a_torn_last_line_is_told_and_set_aside(
    three: Path, config: Config, capsys: pytest.CaptureFixture
) -> None:
    with (three / "records.jsonl").open("ab") as f:
        f.write(b'{"previous": "ab')
    assert len(ledger.read(three)) == 3
    assert "its last line was cut off while it was written" in capsys.readouterr().err
    ledger.append(three, entry(config))
    assert len(ledger.read(three)) == 4
    assert not capsys.readouterr().err
    assert (three / "torn.bytes").read_bytes() == b'{"previous": "ab'


@pytest.mark.parametrize("after", ["line", "nothing"])
def test_a_kill_while_a_record_is_written_loses_no_other(
    three: Path, config: Config, after: str
) -> None:
    code = (
        "import os, signal, sys, pathlib; from fusionjax import chain\n"
        f"chain.{'_write_head' if after == 'line' else '_append_line'} = "
        "lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "chain.append(pathlib.Path(sys.argv[1]), {})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(three)],
        cwd=ROOT,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == -signal.SIGKILL
    assert len(lines(three)) == (4 if after == "line" else 3)
    for _ in range(2):
        chain.append(three, {})
    assert len(chain.read(three)) == (6 if after == "line" else 5)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_takes_no_record_leaves_the_chain_whole(
    three: Path, config: Config, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before = lines(three)
    with monkeypatch.context() as patched:
        patched.setattr(
            os, "fsync", lambda _: (_ for _ in ()).throw(OSError(code, os.strerror(code)))
        )
        with pytest.raises(
            chain.Unwritable, match=rf"ledger: a record cannot be written \({os.strerror(code)}\)"
        ):
            ledger.append(three, entry(config))
    assert lines(three) == before
    assert len(ledger.read(three)) == 3


def test_records_of_older_versions_are_read_and_covered(config: Config, tmp_path: Path) -> None:
    made = [entry(config, run=f"runs/{i}") for i in range(3)]
    for one in made[1::-1]:
        older(tmp_path, one)
    ledger.append(tmp_path, made[2])
    assert ledger.read(tmp_path) == made, "oldest first"
    whole = tmp_path / f"{made[0].id}.json"
    text = whole.read_text()
    whole.write_text(text.replace("0.1", "0.9"))
    with pytest.raises(
        InputError, match="record 1 does not follow the records of an older version"
    ):
        ledger.read(tmp_path)
    whole.unlink()
    with pytest.raises(
        InputError, match="record 1 does not follow the records of an older version"
    ):
        ledger.read(tmp_path)
    whole.write_text(text)
    assert len(ledger.read(shutil.copytree(tmp_path, tmp_path / "elsewhere"))) == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "x"}', "\xff"])
def test_a_stranger_among_the_records_is_named(config: Config, tmp_path: Path, text: str) -> None:
    (tmp_path / "20200101.json").write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=r"20200101.json: is not a ledger record .* move it out"):
        ledger.append(tmp_path, entry(config))
    with pytest.raises(InputError, match="move it out"):
        ledger.read(tmp_path)


def test_what_began_and_finished_is_one_record(config: Config, tmp_path: Path) -> None:
    begun = entry(config, finished=False, metrics={})
    ledger.append(tmp_path, begun)
    assert ledger.table(ledger.read(tmp_path))["split"].tolist() == ["dev (not finished)"]
    ledger.append(
        tmp_path, dataclasses.replace(begun, finished=True, metrics={"direction: MCC": 1.0})
    )
    (only,) = ledger.read(tmp_path)
    assert only.finished
    assert only.metrics


def test_differences_name_the_keys_that_differ(config: Config) -> None:
    records = [entry(config), entry(config.override({"train.steps": 7, "model.width": 8}))]
    assert ledger.differences(records) == {
        "model.width": [config.model.width, 8],
        "train.steps": [config.train.steps, 7],
    }
