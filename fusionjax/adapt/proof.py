"""Proves that a service's forecasts are those that it made, in their order.

Each served day appends a record to a chain (``chain.py``): the sums of the day's files, and of the
record before. Whoever has kept a day's sum, as its page shows it, can prove all days up to it.

    <service>/proof/records.jsonl    a record a day, and of each day that was taken back
"""

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

from fusionjax import chain
from fusionjax.errors import InputError

FOLDER = "proof"
_FILES = (
    *("begun.json", "drift.json", "update.json", "forecast.json", "explanation.json"),
    "track.json",
)
_DONE = "done.json"


def record(service: Path, day: str, facts: dict[str, Any]) -> str:
    """Appends a served day, unless it was appended by a command that was killed afterwards; returns
    the sum of its record.

    Args:
      service: its folder.
      day: the session, whose files are all written but ``done.json``.
      facts: what else is on record, such as the model that forecasts.

    Raises:
      InputError: the chain is broken.
    """
    facts = {"day": day, **facts, "files": _sums(service / day)}
    *_, last = [({}, ""), *_rows(service)]
    if {k: v for k, v in last[0].items() if k != "made"} == facts:
        return last[1]
    return chain.append(service / FOLDER, facts | {"made": _now()})


def take_back(service: Path, day: str, aside: Path) -> None:
    """Appends that a day is moved to ``aside``, before it is."""
    where = str(aside.relative_to(service))
    if chain.begun(service / FOLDER):
        chain.append(service / FOLDER, {"day": day, "taken_back": where, "made": _now()})


def sums(service: Path) -> dict[str, str]:
    """The sum of each served day's record, by day; of one that was served again, the last."""
    return {row["day"]: own for row, own in _rows(service) if "files" in row}


def verify(service: Path) -> tuple[int, str]:
    """Checks the chain and the files of every day; returns how many days, and the last sum.

    Raises:
      InputError: there is no chain; or the first day that does not fit, and why.
    """
    folder = service / FOLDER
    if not chain.begun(folder):
        raise InputError(
            f"{service}: no record of served days in {FOLDER}; give the folder of a service that "
            "has served since such records are kept"
        )
    links = chain.links(folder)
    rows = [_parsed(row) for row, _, _ in links]
    places, before = _places(rows), "the beginning"
    for i, (row, (_, _, follows)) in enumerate(zip(rows, links, strict=True)):
        day = row.get("day", f"record {i + 1}")
        if not follows:
            raise InputError(
                f"{service}: {day} does not follow {before}: one of their records was edited or "
                "moved, or one between them removed"
            )
        if "files" in row:
            _require_files(service / places[i], day, row["files"])
        before = day
    _require_end(service, before)
    recorded = {row["day"] for row in rows}
    first = min(recorded)
    for path in sorted(service.glob(f"*/{_DONE}")):
        if path.parent.name > first and path.parent.name not in recorded:
            raise InputError(f"{service}: {path.parent.name} was served, but its record is gone")
    return len({row["day"] for row in rows if "files" in row}), links[-1][1]


def _require_end(service: Path, last: str) -> None:
    """Checks that the last records are those that were last written."""
    try:
        chain.read(service / FOLDER)
    except InputError as e:
        raise InputError(
            f"{service}: {last} is not the last record that was written, or was edited since: {e}"
        ) from e


def _require_files(folder: Path, day: str, expected: dict[str, str]) -> None:
    """Checks the files of a day, and that ``done.json`` repeats its forecasts."""
    found = _sums(folder)
    for name, own in expected.items():
        if found.get(name) != own:
            what = "is missing" if name not in found else "is not what was recorded"
            raise InputError(f"{folder.parent}: {day} does not fit: its {name} {what}")
    for name in found.keys() - expected.keys():
        raise InputError(f"{folder.parent}: {day} does not fit: its {name} was added later")
    done = folder / _DONE
    if done.exists() and _parsed(done.read_bytes()).get("forecasts") != json.loads(
        (folder / "forecast.json").read_text()
    ):
        raise InputError(
            f"{folder.parent}: {day} does not fit: {_DONE} has other forecasts than forecast.json"
        )


def _places(rows: list[dict[str, Any]]) -> dict[int, str]:
    """Where the files of each record are, by its number: aside where the day was taken back."""
    places: dict[int, str] = {}
    for i, row in enumerate(rows):
        if "files" in row:
            places[i] = row["day"]
        elif "taken_back" in row:
            moved = {
                k: str(row["taken_back"]) for k, where in places.items() if where == row["day"]
            }
            places |= moved
    return places


def _rows(service: Path) -> list[tuple[dict[str, Any], str]]:
    return [(_parsed(row), own) for row, own, _ in chain.links(service / FOLDER)]


def _parsed(row: bytes) -> dict[str, Any]:
    """A record; empty if it is none."""
    try:
        parsed = json.loads(row)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _sums(folder: Path) -> dict[str, str]:
    paths = [folder / name for name in _FILES]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.exists()}


def _now() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
