"""One thing that an audit says."""

import dataclasses
import itertools
from collections.abc import Iterable

FINE, WATCH, STOP = "fine", "watch", "stop"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A check and how it came out.

    Attributes:
      code: its short name; the config accepts a finding by it.
      level: ``fine``, ``watch`` (a person should look) or ``stop`` (do not train on this).
      what: what was seen, in words.
      do: what to do about it; empty where nothing is.
    """

    code: str
    level: str
    what: str
    do: str = ""


def listed(what: str, examples: Iterable[object], most: int = 3, between: str = ", ") -> str:
    """What was found and the first few of it."""
    named = between.join(str(e) for e in itertools.islice(examples, most))
    return f"{what}: {named}" if named else what


def worst_first(findings: list[Finding]) -> list[Finding]:
    """In the order in which a person should read them."""
    return sorted(findings, key=lambda f: (STOP, WATCH, FINE).index(f.level))


def judged(code: str, level: str | None, what: str, do: str) -> Finding:
    """A finding of ``level``, or that all is well where it is None."""
    return Finding(code, FINE, what) if level is None else Finding(code, level, what, do)
