"""The exchange whose sessions are the days of some bars."""

import dataclasses

import numpy as np
from jaxtyping import Shaped

from fusionjax.data import calendar as calendars
from fusionjax.errors import InputError

_FIRST = ("XNYS", "24/7")  # asked before the others, of which there are seventy
# What another must be better by than those, a share of days: less is a bar too many or too few, and
# other exchanges of North America share .96 with New York.
_MARGIN = 0.01
_LEAST = 0.5
_RECENT = 500  # days by which exchanges are compared


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How an exchange's sessions agree with the days of bars.

    Attributes:
      code: of exchange_calendars.
      days: with a bar, rising.
      closes: of each day in UTC; NaT where it is no session.
      sessions: of the exchange from the first to the last day.
      equals: codes that agree as well on recent days.
    """

    code: str
    days: Shaped[np.ndarray, "D"]
    closes: Shaped[np.ndarray, "D"]
    sessions: Shaped[np.ndarray, "S"]
    equals: tuple[str, ...] = ()

    @property
    def shared(self) -> int:
        """Days that are sessions."""
        return int((~np.isnat(self.closes)).sum())

    @property
    def share(self) -> float:
        """Shared days of all days and sessions, 0 to 1."""
        return self.shared / (len(self.days) + len(self.sessions) - self.shared)

    @property
    def sentence(self) -> str:
        """For the screen."""
        others = f"; {', '.join(self.equals)} agree as well" if self.equals else ""
        return (
            f"calendar {self.code}: {self.shared:,} of {len(self.days):,} days are among its "
            f"{len(self.sessions):,} sessions{others}; change data.calendar if it is another"
        )


def agreement(days: Shaped[np.ndarray, "D"], code: str) -> Agreement:
    """Compares days with an exchange's sessions.

    Args:
      days: datetime64[D], rising.
      code: of exchange_calendars.

    Raises:
      InputError: the exchange's sessions are not known so early or late.
    """
    closes = calendars.close_times(days, code)
    listed, _ = calendars.closes(code, days[0], days[-1], {})
    return Agreement(code, days, closes, np.union1d(listed, days[~np.isnat(closes)]))


def guessed(days: Shaped[np.ndarray, "D"]) -> Agreement:
    """The exchange whose sessions agree best with ``days``; New York where none is clearly better.

    Args:
      days: datetime64[D], rising.

    Raises:
      InputError: none agrees on half of them.
    """
    found = []
    for code in (*_FIRST, *(c for c in calendars.codes() if c not in _FIRST)):
        try:
            found.append(agreement(days[-_RECENT:], code))
        except InputError:  # its sessions are not known so early or late
            continue
        if code in _FIRST and found[-1].share >= 1 - _MARGIN:
            return agreement(days, code)
    best = max(found, key=lambda a: a.share + _MARGIN * (a.code == _FIRST[0]))
    if best.share < _LEAST:
        raise InputError(
            f"the days of the bars are no exchange's sessions: {best.code} is nearest, with "
            f"{best.shared} of {len(best.days)} days among {len(best.sessions)} sessions; give "
            "daily bars, and check the order of day and month"
        )
    equals = {a.code for a in found if a.share == best.share} - {best.code}
    return dataclasses.replace(agreement(days, best.code), equals=tuple(sorted(equals)[:3]))
