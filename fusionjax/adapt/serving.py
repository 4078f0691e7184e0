"""Which run of a service forecasts, whether it may, and how an update is taken back.

``serving.json`` names the run; a day's ``update.json`` says whether its update may serve, and
``rollback.json`` beside it that it was taken back: who did so, when and why.
"""

import dataclasses
import datetime
import getpass
import json
import os
import socket
from pathlib import Path
from typing import Any

from fusionjax import files
from fusionjax.errors import InputError

SERVING, ROLLBACK = "serving.json", "rollback.json"
BEGUN, UPDATE = "begun.json", "update.json"


@dataclasses.dataclass(frozen=True)
class Serving:
    """The run that forecasts.

    Attributes:
      run: its folder.
      day: since when.
      parent: the run before it; empty for the first.
    """

    run: str
    day: str
    parent: str

    @staticmethod
    def read(service: Path) -> "Serving":
        """Reads ``serving.json`` of a service.

        Raises:
          InputError: the file has another format.
        """
        try:
            return Serving(**json.loads((service / SERVING).read_text()))
        except (json.JSONDecodeError, TypeError) as e:
            raise InputError(
                f"{service / SERVING}: does not name the run that serves ({e}); write "
                '{"run": the run folder, "day": "", "parent": ""} into it'
            ) from e

    @staticmethod
    def of(service: Path, run: Path) -> "Serving":
        """A run that serves again: since the day of its update, or from the beginning."""
        if not is_update(service, run):
            return Serving(str(run), "", "")
        return Serving(str(run), run.parent.name, read(run.parent / BEGUN)["run"])

    def write(self, service: Path) -> None:
        """Replaces ``serving.json``."""
        files.write_text(service / SERVING, json.dumps(dataclasses.asdict(self), indent=1))


def is_update(service: Path, run: Path) -> bool:
    """Whether a run is the update of a served day."""
    return service.resolve() in run.resolve().parents


def require_accepted(service: Path) -> None:
    """Checks the run that ``serving.json`` names against what was decided of it.

    Raises:
      InputError: the gate did not let it serve, or it was taken back.
    """
    run = Path(Serving.read(service).run)
    if why := _objection(service, run):
        raise InputError(
            f"{service / SERVING}: names {run}, which may not serve: {why}; let the run before it "
            "serve again with fusionjax serve --rollback --because=WHY and the same --from"
        )


def may_serve(folder: Path) -> bool:
    """Whether the update of a day was accepted by the gate, and not taken back since."""
    return bool(read(folder / UPDATE)["promoted"]) and not (folder / ROLLBACK).exists()


def rollback(service: Path, because: str) -> tuple[Serving, Path]:
    """Lets the run serve again that served before the present one, and records it.

    Args:
      service: folder of the service.
      because: why, for the record.

    Returns:
      What serves now, and the update that was taken back.

    Raises:
      InputError: no reason, no service, nothing to take back, or another process serves there.
    """
    if not because.strip():
        raise InputError("--rollback needs --because=WHY, which goes into the service's record")
    if not (service / SERVING).exists():
        raise InputError(f"{service}: no service here; give the --from or --workdir it began with")
    try:
        with files.locked(service, wait=False):
            return _rollback(service, because.strip())
    except BlockingIOError as e:
        raise InputError(f"{service}: another process serves there; wait until it has ended") from e


def _rollback(service: Path, because: str) -> tuple[Serving, Path]:
    run = Path(Serving.read(service).run)
    before = _before(service, run)
    while before is not None and _objection(service, before):
        before = _before(service, before)
    if before is None:
        raise InputError(f"{service}: nothing to take back; {run} has served from the beginning")
    if not before.is_dir():
        raise InputError(f"{before}: served before {run}, but is gone; restore it from a backup")
    record = run.parent / ROLLBACK
    if not is_update(service, run):  # a run of elsewhere, that was written into serving.json
        record = service / f"rollback-{len([*service.glob('rollback-*.json')]) + 1}.json"
    if not record.exists():  # else the command was killed between the two files
        facts = {"run": str(run), "serves": str(before), "who": _who(), "why": because}
        files.write_text(record, json.dumps(facts | {"when": _now()}, indent=1))
    after = Serving.of(service, before)
    after.write(service)
    return after, run


def _before(service: Path, run: Path) -> Path | None:
    """The run that served before; None for the first of the service."""
    if is_update(service, run) and (run.parent / BEGUN).exists():
        return Path(read(run.parent / BEGUN)["run"])
    first = _first(service)
    return None if first is None or first.resolve() == run.resolve() else first


def _first(service: Path) -> Path | None:
    """The run with which a service began; None before its first day."""
    days = sorted(service.glob(f"*/{BEGUN}"))
    return Path(read(days[0])["run"]) if days else None


def _objection(service: Path, run: Path) -> str:
    """Why a run may not serve; empty if it may."""
    gate = run / "gate.json"
    if is_update(service, run):
        folder, gate = run.parent, run.parent / UPDATE
        if (folder / ROLLBACK).exists():
            taken = read(folder / ROLLBACK)
            return f"{taken['who']} took it back on {taken['when']} ({taken['why']})"
        if not gate.exists():
            return "the promotion gate has not decided on it"
    elif (first := _first(service)) is None or first.resolve() == run.resolve():
        return ""  # chosen with --from
    if gate.exists() and not (decided := read(gate))["promoted"]:
        return f"the promotion gate decided otherwise ({decided['why']})"
    return ""


def _who() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _now() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def read(path: Path) -> Any:
    """A record of a service, as it is stored."""
    return json.loads(path.read_text())
