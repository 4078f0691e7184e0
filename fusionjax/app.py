"""Shared by all commands: flags, the config, virtual devices, and errors as one message.

A command imports JAX, pandas and SciPy inside ``main``: they take seconds, and neither ``--help``
nor the message about a mistyped flag needs them.
"""

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from absl import app, flags, logging
from ml_collections import config_flags

from fusionjax import requirements
from fusionjax.config import Config
from fusionjax.config.renamed import now_called
from fusionjax.errors import InputError, Preempted
from fusionjax.parallel import compile_cache

T = TypeVar("T")

EXIT_BAD_INPUT = 2
EXIT_PREEMPTED = 75  # EX_TEMPFAIL: run the same command again

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Settings, e.g. configs/demo.py. Override any key: --config.train.steps=100"
)
_CPU_MESH = flags.DEFINE_bool(
    "cpu_mesh", False, "Rehearse on virtual CPU devices: the config's mesh at toy widths"
)
_COMPILE_CACHE = flags.DEFINE_string(
    "compile_cache",
    "runs/compiled",
    "Folder of compiled programs, at most 1 GiB: a second start compiles nothing. Empty: none. "
    "JAX_COMPILATION_CACHE_DIR in the environment takes precedence",
)
NO_CONFIG = "--config is missing; for example --config=configs/demo.py"
LEDGER = flags.DEFINE_string(
    "ledger_dir", "runs/ledger", "Folder of the ledger, the records of all runs"
)
# The message of ml_collections about an unknown key that resembles no other.
_NAME_ALONE = re.compile(r"\W*(\w+)\W*")
_DEFAULT_VIRTUAL_DEVICES = 8  # for a mesh that takes all devices


def run(
    main: Callable[..., None],
    *,
    needs_config: bool = True,
    many_processes: bool = False,
    schema: type[Config] = Config,
    takes_files: bool = False,
) -> None:
    """Parses flags, resolves the config, sets up devices and calls ``main`` with the config.

    With ``many_processes`` it first joins the processes that the environment describes. Without
    ``needs_config``, ``main`` gets None if --config is not given. ``schema`` is the config's class:
    a study's has more sections. With ``takes_files``, ``main`` also gets the arguments that are no
    flags.

    A user's mistake ends with one message on stderr and status 2, a requested stop with status 75.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have letters that a terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    _reporting(requirements.check)
    for flag in (_CONFIG, _CPU_MESH, _COMPILE_CACHE, LEDGER):  # listed by --help
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag.name])

    def call(argv: list[str]) -> None:
        config = _config(needs_config, many_processes, schema)
        main(config, argv[1:]) if takes_files else main(config)

    app.run(
        lambda argv: _reporting(lambda: call(argv)),
        flags_parser=lambda argv: _parse(argv, takes_files),
    )


def with_flags(config: Config, changes: dict[str, Any]) -> Config:
    """The config overridden by values of a command's own flags, by dotted key; None is skipped."""
    return config.override({k: v for k, v in changes.items() if v is not None})


def config_flag() -> str:
    """The ``--config=…`` of this command, for messages that suggest the next one."""
    return f"--config={config_flags.get_config_filename(flags.FLAGS['config'])}"


def _parse(argv: list[str], takes_files: bool) -> list[str]:
    def parse() -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except SystemExit as e:
            if e.code == 1 and [*_modules(e)][-1] == "absl.app":
                sys.exit(0)  # absl exits with 1 after --help
            raise
        if flags.FLAGS["verbosity"].using_default_value:
            logging.set_verbosity(logging.WARNING)  # Orbax and tfds log much at INFO, --verbosity=0
        if len(rest) > 1 and not takes_files:
            raise InputError(f"unexpected argument {rest[1]!r}; flags start with --")
        return rest

    return _reporting(parse)


def _config(needed: bool, many_processes: bool, schema: type[Config]) -> Config | None:
    if _CONFIG.value is None:
        if needed:
            raise InputError(NO_CONFIG)
        return None
    config = schema.of(_CONFIG.value)
    if _COMPILE_CACHE.value:
        compile_cache.use(Path(_COMPILE_CACHE.value))
    if not (_CPU_MESH.value or many_processes):
        return config
    from fusionjax.parallel import processes
    from fusionjax.parallel.mesh import device_count, use_virtual_cpu_devices

    if _CPU_MESH.value:
        overridden = config_flags.get_override_values(flags.FLAGS["config"])
        toy = {key: value for key, value in config.toy if key not in overridden}
        config = config.override(toy | {"name": f"{config.name}_cpu_mesh"})
        devices = device_count(config.mesh) or _DEFAULT_VIRTUAL_DEVICES
        shared = (processes.described() or (0, 1))[1] if many_processes else 1
        use_virtual_cpu_devices(devices // shared)
    if many_processes:
        processes.join(cpu=_CPU_MESH.value or os.environ.get("JAX_PLATFORMS") == "cpu")
    return config


def _reporting(work: Callable[[], T]) -> T:
    try:
        return work()
    except Preempted as e:
        print(e, file=sys.stderr)
        sys.exit(EXIT_PREEMPTED)
    except InputError as e:
        message = str(e)
    except flags.Error as e:
        message = f"{e}; --help lists the flags"
    except (AttributeError, KeyError, TypeError, OSError) as e:
        # ml_collections raises these for an unknown key or a missing config file. Elsewhere they
        # are bugs and must keep their traceback.
        if isinstance(e, OSError) and e.errno in _DISK_ERRORS:
            message = f"{e.filename or 'a file'}: {e.strerror}; mend that and run the command again"
        elif _from_flags(e):
            message = f"--config: {' '.join(str(e.args[0]).split())}"
            if name := _NAME_ALONE.fullmatch(str(e.args[0])):
                message = f"--config has no key {name[1]}{now_called(name[1])}; see docs/config.md"
        else:
            raise
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


def _from_flags(error: BaseException) -> bool:
    return any(name.startswith("ml_collections.config_flags") for name in _modules(error))


def _modules(error: BaseException) -> Iterator[str]:
    """Names of the modules in an error's traceback, outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
