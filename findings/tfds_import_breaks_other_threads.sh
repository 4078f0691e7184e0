#!/usr/bin/env bash
# tensorflow-datasets 4.9.10 (etils 1.15.0): imported while another thread works.
#
# Good guess: a module that is imported in one thread is nobody else's business; Python holds a lock
# for each module, and another thread's imports wait or go on.
# Seen: while tensorflow_datasets is imported, "from .x import y" inside a function of another
# thread raises "ValueError: Relative import statements not supported (x).", though that module
# has been imported long before. With rich it ends the thread that draws a progress bar: the bar
# stands still, and the work goes on without a word.
# Why: etils' lazy_imports() replaces builtins.__import__, which is the interpreter's own and so
# all threads', and its stand-in refuses relative imports. Every import statement calls it, also
# of modules that are loaded.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
  tensorflow-datasets==4.9.10 etils==1.15.0 rich==15.0.0 importlib_resources==6.5.2
cat > "$work/run.py" <<'PY'
import importlib.metadata
import sys
import threading

import rich.markup  # noqa: F401  (loaded before: nothing is left to be imported)
from rich.text import Text

for name in ("tensorflow-datasets", "etils", "rich"):
    print(name, importlib.metadata.version(name))
sys.setswitchinterval(1e-5)  # threads take turns often: a slow import on a busy machine does it too
seen, alone, ended = [], 0, threading.Event()


def work():
    while not ended.is_set():
        try:
            Text.from_markup("[b]12 of 40[/b]")  # its body has "from .markup import render"
        except (ImportError, ValueError) as error:
            seen.append(f"{type(error).__name__}: {error}")


def watched(module):
    seen.clear()
    ended.clear()
    thread = threading.Thread(target=work)
    thread.start()
    __import__(module)
    ended.set()
    thread.join()
    print(module, "->", sorted(set(seen)) or "nothing")
    return set(seen)


assert watched("numpy") == set(), "any other import"
found = watched("tensorflow_datasets")
assert "ValueError: Relative import statements not supported (markup)." in found
assert all(x.startswith("ValueError: Relative import statements not supported") for x in found)
PY
"$work/venv/bin/python" "$work/run.py"
