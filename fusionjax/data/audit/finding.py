"""One thing that an audit says."""

import dataclasses

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


def judged(code: str, level: str | None, what: str, do: str) -> Finding:
    """A finding of ``level``, or that all is well where it is None."""
    return Finding(code, FINE, what) if level is None else Finding(code, level, what, do)
