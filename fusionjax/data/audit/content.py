"""Audit of what files of media were decoded to: nothing in it, or the same again."""

from collections.abc import Iterator

import numpy as np

from fusionjax.data.audit.finding import WATCH, Finding, judged, listed
from fusionjax.data.store import Market, Media

_REPEATED = 0.05  # of the files; a few pictures are stored twice anywhere


def findings(market: Market) -> Iterator[Finding]:
    """Yields a finding for each kind of media."""
    for kind, items in market.media.items():
        yield _content(kind, items)


def _content(kind: str, items: Media) -> Finding:
    file = np.unique(items.content, return_index=True)[1]  # equal files are no news of decoding
    empty = file[items.flaw[file] != ""]
    decoded, count = np.unique(items.decoded[file], return_counts=True)
    repeated = file[np.isin(items.decoded[file], decoded[count > 1])]
    many = len(repeated) > _REPEATED * len(file)
    flaws = (f"{items.path[i]} is {items.flaw[i]}" for i in empty)
    twins = sorted(items.path[repeated], key=str) if many else []
    what = (
        listed(f"{len(empty)} of {len(file)} different files of {kind} seem empty", flaws)
        + "; "
        + listed(f"{len(repeated)} are decoded to the same as another", twins)
    )
    return judged(
        f"{kind} content",
        WATCH if len(empty) or many else None,
        what,
        "look at them: what wrote or converted them may have failed; then replace or drop them",
    )
