"""Shared by all commands: flags, the config, virtual devices, and errors as one message.

A command imports JAX, pandas and SciPy inside ``main``: they take seconds, and neither ``--help``
nor the message about a mistyped flag needs them.
"""

import dataclasses
import errno
import io
import os
import re
import shlex
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from fusionjax import configs, notify, requirements
from fusionjax.config import Config
from fusionjax.config.file import read, unknown_key
from fusionjax.config.variant import variant
from fusionjax.errors import InputError, Preempted
from fusionjax.parallel import compile_cache

T = TypeVar("T")

EXIT_BAD_INPUT = 2
EXIT_UNFIT = 3  # the data are not fit to train on
EXIT_INTERRUPTED = 130  # as a shell says it of SIGINT
EXIT_BROKEN_PIPE = 141  # as a shell says it of SIGPIPE
EXIT_PREEMPTED = 75  # EX_TEMPFAIL: run the same command again

_OUTCOMES = {
    0: notify.FINISHED,
    EXIT_PREEMPTED: notify.STOPPED,
    EXIT_INTERRUPTED: notify.STOPPED,
    EXIT_BAD_INPUT: notify.REFUSED,
    EXIT_UNFIT: notify.REFUSED,
}
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Settings: a file, or the name of an installed config, such as demo. Override "
    "any key: --config.train.steps=100",
)


class _ConfigFile(flags.ArgumentParser):
    """Reads the file of --config; a mistake in it is one sentence."""

    def parse(self, path: str) -> ConfigDict:
        return read(configs.require(path))


flags.FLAGS["config"].parser = _ConfigFile()
_CPU_MESH = flags.DEFINE_bool(
    "cpu_mesh", False, "Rehearse on virtual CPU devices: the config's mesh at toy widths"
)
_COMPILE_CACHE = flags.DEFINE_string(
    "compile_cache",
    "runs/compiled",
    "Folder of compiled programs, at most 1 GiB: a second start compiles nothing. Empty: none. "
    "JAX_COMPILATION_CACHE_DIR in the environment takes precedence",
)
NO_CONFIG = "--config is missing; for example --config=demo"
_OVERRIDE = "--config."
LEDGER = flags.DEFINE_string(
    "ledger_dir", "runs/ledger", "Folder of the ledger, the records of all runs"
)
_NOTIFY = flags.DEFINE_string(
    "notify",
    None,
    "Program to run at the end, without a shell, with the outcome as JSON on its standard input; "
    "{outcome} and {text} in its words are filled in (docs/operations.md)",
)
_LACKING = re.compile(r"Flag --([\w.]+) must have a value other than None")
_DEFAULT_VIRTUAL_DEVICES = 8  # for a mesh that takes all devices


class Ended(SystemExit):
    """The end of a command with a status and, for ``--notify``, the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a command asks of ``run``.

    Attributes:
      config: whether it has a config; else ``main`` gets None without one.
      default: the config that is taken if none is given.
      run: the flag with a run folder, whose own config is taken if --config is not given.
      overrides: whether it takes overrides of configs that it passes on (``typed_overrides``).
      files: whether ``main`` also gets the arguments that are no flags.
      long: whether it may take hours, and tells how it ended (``--notify``).
      many_processes: whether it joins the processes that the environment describes.
      schema: the config's class: a study's has more sections.
    """

    config: bool = True
    default: str | None = None
    run: str | None = None
    overrides: bool = False
    files: bool = False
    long: bool = False
    many_processes: bool = False
    schema: type[Config] = Config


def run(main: Callable[..., None], needs: Needs = Needs()) -> None:
    """Parses flags, resolves the config, sets up devices and calls ``main`` with the config.

    A user's mistake ends with one message on stderr and status 2, a requested stop with status 75.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have letters that a terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    _answer_interrupts()
    _reporting(requirements.check)
    module, known = sys.modules[main.__module__], flags.FLAGS
    sys.modules["__main__"].__doc__ = module.__doc__  # what --help begins with
    listed = (_CONFIG, _CPU_MESH, _COMPILE_CACHE, LEDGER, *[_NOTIFY] * needs.long)
    shared = [known[flag.name] for flag in listed]
    for flag in (*known.get_key_flags_for_module(module), *shared):  # listed by --help
        known.register_key_flag_for_module(sys.argv[0], flag)
    overrides: list[str] = []

    def call(argv: list[str]) -> None:
        config = _config(needs, overrides)
        main(config, argv[1:]) if needs.files else main(config)

    app.run(
        lambda argv: _notifying(lambda: _reporting(lambda: call(argv)), needs),
        flags_parser=lambda argv: _parse(argv, needs, overrides),
    )


def begin() -> None:
    """Says on stderr what takes the first seconds, before there is anything to show."""
    if _is_first_process():
        print("importing JAX and opening the data, usually 5 to 30 s", file=sys.stderr, flush=True)


def _is_first_process() -> bool:
    return os.environ.get("JAX_PROCESS_ID", os.environ.get("SLURM_PROCID", "0")) == "0"


def _notifying(work: Callable[[], None], needs: Needs) -> None:
    """Does the work and tells the program of ``--notify`` how it ended, in the first process."""
    asked = _NOTIFY.value
    if asked is None:
        work()
        return

    def hook() -> list[str]:
        if not needs.long:
            raise InputError("--notify goes with commands that take long, such as train and group")
        return notify.words(asked)

    program, begun = _reporting(hook), time.monotonic()
    outcome, status, reason = notify.FINISHED, 0, ""
    try:
        work()
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
        outcome = _OUTCOMES.get(status, notify.FAILED)
        reason = e.reason if isinstance(e, Ended) else ""
        raise
    except BaseException as e:
        outcome, status = notify.FAILED, 1
        reason = "".join(traceback.format_exception_only(e)).strip()
        raise
    finally:
        if _is_first_process():
            notify.tell(program, outcome, status, reason, time.monotonic() - begun)


def _answer_interrupts() -> None:
    """Says at once that Ctrl-C arrived, and ends at the second, whatever is running: Python's own
    handlers wait until a compilation or a device returns."""
    if threading.current_thread() is not threading.main_thread():
        return
    arrived, written = socket.socketpair()
    written.setblocking(False)
    signal.set_wakeup_fd(written.detach(), warn_on_full_buffer=False)

    def answer() -> None:
        count = 0
        while number := arrived.recv(1):
            if number[0] != signal.SIGINT:
                continue
            count += 1
            if count > 1:
                os._exit(EXIT_INTERRUPTED)
            os.write(2, b"stopping; Ctrl-C again ends at once\n")

    threading.Thread(target=answer, daemon=True).start()


def with_flags(config: Config, changes: dict[str, Any]) -> Config:
    """The config overridden by values of a command's own flags, by dotted key; None is skipped."""
    return config.override({k: v for k, v in changes.items() if v is not None})


def config_file() -> str:
    """The file of --config."""
    return config_flags.get_config_filename(flags.FLAGS["config"])


def words(name: str) -> list[str]:
    """What starts a command, after the interpreter: the script beside this one's, or the module."""
    script = Path(sys.argv[0])
    if script.suffix == ".py":
        return [str(script.with_name(f"{name}.py"))]
    return ["-m", "fusionjax", name]


def command(name: str, *given: str) -> str:
    """A command as it would be typed here, for messages that suggest the next one."""
    first, *rest = words(name)
    return shlex.join([*(["fusionjax", name] if rest else ["python", first]), *given])


def typed(*without: str) -> list[str]:
    """The arguments of this command, but for some flags."""
    return [word for word in sys.argv[1:] if word.lstrip("-").partition("=")[0] not in without]


def typed_overrides() -> list[str]:
    """The overrides of keys among this command's arguments."""
    return [word for word in sys.argv[1:] if word.startswith(_OVERRIDE)]


def _parse(argv: list[str], needs: Needs, overrides: list[str]) -> list[str]:
    """Leaves overrides in ``overrides`` where they are of a run's own config."""
    argv = [argv[0], *_installed(argv[1:])]
    given = any(re.match(r"--?config(=|$)", word) for word in argv)
    if needs.default is not None and not given:
        argv.insert(1, f"--config={configs.FOLDER / needs.default}.py")
    if (needs.run is not None or needs.overrides) and not given:
        overrides += [w for w in argv if w.startswith(_OVERRIDE)]
        argv = [w for w in argv if not w.startswith(_OVERRIDE)]

    def parse() -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except SystemExit as e:
            if e.code == 1 and [*_modules(e)][-1] == "absl.app":
                sys.exit(0)  # absl exits with 1 after --help
            raise
        if flags.FLAGS["verbosity"].using_default_value:
            logging.set_verbosity(logging.WARNING)  # Orbax and tfds log much at INFO, --verbosity=0
        if len(rest) > 1 and not needs.files:
            raise InputError(f"unexpected argument {rest[1]!r}; flags start with --")
        return rest

    return _reporting(parse)


def _installed(words: list[str]) -> list[str]:
    """Arguments with the paths of installed configs in place of their names."""
    done = []
    for before, word in zip(["", *words], words, strict=False):
        flag, value = ("", word) if before in ("--config", "-config") else word.partition("=")[::2]
        path = configs.installed(value) if flag in ("", "--config", "-config") else None
        if path is not None:
            word = f"{flag}={path}" if flag else str(path)
        done.append(word)
    return done


def _config(needs: Needs, overrides: list[str]) -> Config | None:
    folder = None if needs.run is None else flags.FLAGS[needs.run].value
    given = None if _CONFIG.value is None else needs.schema.of(_CONFIG.value)
    if given is None and folder is None:
        if needs.config:
            raise InputError(NO_CONFIG)
        return None
    if _COMPILE_CACHE.value:
        compile_cache.use(Path(_COMPILE_CACHE.value))
    if given is not None:
        config = given
        if _CPU_MESH.value:
            overridden = config_flags.get_override_values(flags.FLAGS["config"])
            toy = {key: value for key, value in config.toy if key not in overridden}
            config = config.override(toy | {"name": f"{config.name}_cpu_mesh"})
    else:  # of a rehearsal it is the rehearsed one; imports JAX
        assert folder is not None
        if needs.many_processes and _several_processes():
            raise InputError(f"{folder}: several processes have to be given its --config too")
        config = _of_run(Path(folder), [word.removeprefix(_OVERRIDE) for word in overrides])
    if not (_CPU_MESH.value or needs.many_processes):
        return config
    from fusionjax.parallel import processes
    from fusionjax.parallel.mesh import device_count, use_virtual_cpu_devices

    if _CPU_MESH.value:
        devices = device_count(config.mesh) or _DEFAULT_VIRTUAL_DEVICES
        shared = processes.described_or_one()[1] if needs.many_processes else 1
        use_virtual_cpu_devices(devices // shared)
    if needs.many_processes:
        processes.join(cpu=_CPU_MESH.value or os.environ.get("JAX_PLATFORMS") == "cpu")
    return config


def _several_processes() -> bool:
    """Whether the environment describes more than one: they must join before a run is read."""
    from fusionjax.parallel import processes

    return processes.described_or_one()[1] > 1


def _of_run(folder: Path, changes: list[str]) -> Config:
    from fusionjax.evaluate.file_forecasts import config_of

    return variant(config_of(folder), changes, _OVERRIDE)


def _reporting(work: Callable[[], T]) -> T:
    try:
        return work()
    except Preempted as e:
        print(e, file=sys.stderr)
        raise Ended(EXIT_PREEMPTED, str(e)) from None
    except KeyboardInterrupt:
        text = "stopped; the same command begins again, with what it had kept"
        print(text, file=sys.stderr)
        raise Ended(EXIT_INTERRUPTED, text) from None
    except BrokenPipeError:  # of a command after it, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except InputError as e:
        message = str(e)
    except flags.Error as e:
        lacking = _LACKING.search(str(e))
        message = f"--{lacking[1]} is missing" if lacking else str(e).rstrip(".")
        message += "; --help lists the flags"
    except (AttributeError, KeyError, TypeError, OSError) as e:
        # ml_collections raises these for an unknown key. Elsewhere they are bugs and must keep
        # their traceback.
        if isinstance(e, OSError) and e.errno in _DISK_ERRORS:
            message = f"{e.filename or 'a file'}: {e.strerror}; mend that and run the command again"
        elif _from_flags(e):
            unknown = unknown_key(e)
            message = f"--config: {unknown or ' '.join(str(e.args[0]).split())}"
        else:
            raise
    print(f"error: {message}", file=sys.stderr)
    raise Ended(EXIT_BAD_INPUT, message)


def _from_flags(error: BaseException) -> bool:
    return any(name.startswith("ml_collections.config_flags") for name in _modules(error))


def _modules(error: BaseException) -> Iterator[str]:
    """Names of the modules in an error's traceback, outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
