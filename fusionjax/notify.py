"""Tells a command of the user's how a long one ended (``--notify``)."""

import datetime
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from fusionjax.errors import InputError

SECONDS = 30.0  # that the command may take
FINISHED, STOPPED, REFUSED, FAILED = "finished", "stopped", "refused", "failed"


def words(command: str) -> list[str]:
    """The words of a command, without a shell.

    Raises:
      InputError: it cannot be taken apart, or there is no such program.
    """
    try:
        found = shlex.split(command)
    except ValueError as e:
        raise InputError(f"--notify={command}: {e}; expected a program and its arguments") from e
    if not found or shutil.which(found[0]) is None:
        raise InputError(
            f"--notify={command}: no such program here; expected one and its arguments, such as "
            "--notify='mail -s {outcome} desk@example.com'"
        )
    return found


def tell(command: list[str], outcome: str, status: int, reason: str, seconds: float) -> None:
    """Runs a command with an outcome as JSON on its standard input.

    ``{outcome}`` and ``{text}`` in its words are filled in. A command that fails or takes longer
    than ``SECONDS`` is told of on stderr; nothing is raised.

    Args:
      command: from ``words``.
      outcome: finished, stopped, refused or failed.
      status: exit status of this process.
      reason: the message at the end; may be empty.
      seconds: since this process began.
    """
    span = datetime.timedelta(seconds=round(seconds))
    asked = _asked()
    text = f"{asked}: {outcome} after {span}" + (f": {reason}" if reason else "")
    content = {"text": text, "outcome": outcome, "status": status, "reason": reason}
    content |= {"command": asked, "seconds": round(seconds, 1), "host": socket.gethostname()}
    content |= {"folder": str(Path.cwd()), "at": datetime.datetime.now(datetime.UTC).isoformat()}
    filled = [w.replace("{outcome}", outcome).replace("{text}", text) for w in command]
    try:
        problem = _run(filled, json.dumps(content))
    except (OSError, ValueError) as e:  # ValueError: a NUL in a word
        problem = str(e)
    if problem:
        print(f"--notify: {command[0]} {problem}; nobody may have been told", file=sys.stderr)


def _run(command: list[str], content: str) -> str:
    """What went wrong; empty if nothing did."""
    # Files, not pipes: a command that reads nothing, or leaves a child behind, must not block.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(content.encode())
        given.seek(0)
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # so that it and its children can be ended together
        )
        try:
            status = process.wait(SECONDS)
        except BaseException as e:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(e, subprocess.TimeoutExpired):
                return f"did not end within {SECONDS:g} s and was killed"
            if isinstance(e, KeyboardInterrupt):
                return "was interrupted"
            raise
        if not status:
            return ""
        said.seek(0)
        last = said.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"ended with status {status}" + "".join(f" ({line})" for line in last)


def _asked() -> str:
    """The command line of this process, without the hook, which may hold a secret address."""
    name, *given = sys.argv
    kept, skip = [], False
    for word in given:
        flag = word.lstrip("-").partition("=")[0]
        if not skip and flag != "notify":
            kept.append(word)
        skip = flag == "notify" and "=" not in word
    return " ".join([Path(name).name, *map(shlex.quote, kept)])
