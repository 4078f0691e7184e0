"""The exchange whose sessions are the days of some bars."""

import dataclasses

import numpy as np
from jaxtyping import Shaped

from fusionjax.data import calendar as calendars
from fusionjax.errors import InputError

_DEFAULT = "XNYS"
_ALIKE = 0.99  # a share of days; other exchanges of North America share .96 with New York
_LEAST = 0.5
_RECENT = 500  # sessions by which exchanges are compared: there are seventy of them


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How an exchange's sessions agree with the days of bars.

    Attributes:
      code: of exchange_calendars.
      shared: days that are sessions.
      days: days with a bar.
      sessions: of the exchange from the first to the last of them.
      equals: codes that agree as well on recent days.
    """

    code: str
    shared: int
    days: int
    sessions: int
    equals: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Shared days of all days and sessions, 0 to 1."""
        return self.shared / max(self.days + self.sessions - self.shared, 1)

    @property
    def sentence(self) -> str:
        """For the screen."""
        others = f"; {', '.join(self.equals)} agree as well" if self.equals else ""
        return (
            f"calendar {self.code}: {self.shared:,} of {self.days:,} days are among its "
            f"{self.sessions:,} sessions{others}; change data.calendar if it is another"
        )


def agreement(days: Shaped[np.ndarray, "D"], code: str) -> Agreement:
    """Compares days with an exchange's sessions.

    Args:
      days: datetime64[D], rising.
      code: of exchange_calendars.

    Raises:
      InputError: the exchange's sessions are not known so early or late.
    """
    shared = int((~np.isnat(calendars.close_times(days, code))).sum())
    sessions, _ = calendars.closes(code, days[0], days[-1], {})
    return Agreement(code, shared, len(days), max(len(sessions), shared))


def guessed(days: Shaped[np.ndarray, "D"]) -> Agreement:
    """The exchange whose sessions agree best with ``days``; New York where it is as good as any.

    Args:
      days: datetime64[D], rising.

    Raises:
      InputError: none agrees on half of them.
    """
    recent = days[-_RECENT:]
    found = []
    for code in (_DEFAULT, *calendars.codes()):
        try:
            found.append(agreement(recent, code))
        except InputError:  # its sessions are not known so early or late
            continue
        if code == _DEFAULT and found[0].share >= _ALIKE:
            return agreement(days, code)
    best = max(found, key=lambda a: a.share)  # the first of several
    if best.share < _LEAST:
        raise InputError(
            f"the days of the bars are no exchange's sessions: {best.code} is nearest, with "
            f"{best.shared} of {best.days} days among {best.sessions} sessions; give daily bars, "
            "and check the order of day and month"
        )
    equals = {a.code for a in found if a.share == best.share} - {best.code}
    return dataclasses.replace(agreement(days, best.code), equals=tuple(sorted(equals)[:3]))
