"""How a head's values are corrected by labels that matured before them; part of ``Head``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from fusionjax.data.store import Market
    from fusionjax.heads.base import Scored
    from fusionjax.scores.calibration import Sequential


class Calibrated:
    """A head's calibration at one horizon; by default there is none."""

    def calibration(self) -> "Sequential | None":
        """A fresh calibration of values at one horizon by labels that matured before them; None if
        the head has none. ``kept`` and ``corrected`` go with it."""
        return None

    def kept(self, value: "np.ndarray", scored: "Scored") -> "np.ndarray":
        """What the calibration keeps of samples: float64 [S, columns], NaN where the label does not
        count.

        Args:
          value: float64.
          scored: the samples, with their labels.
        """
        raise NotImplementedError

    def scales(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        """What ``corrected`` reads of rows beside their values, by name: float64 [S]."""
        del market, rows
        return {}

    def corrected(self, value: Any, issued: Any, scales: dict[str, Any]) -> Any:
        """The values, corrected by what the calibration issued to each (NaN: nothing).

        NumPy arrays in float64; or, in an exported program, JAX arrays in float32.

        Args:
          value: [S, ...].
          issued: [S].
          scales: see there.
        """
        raise NotImplementedError

    def calibrated(self, value: "np.ndarray", scored: "Scored") -> "np.ndarray | None":
        """The values (float64), each calibrated by labels that matured before it; None if the head
        has no calibration."""
        from fusionjax.scores.calibration import replay

        fresh = self.calibration()
        if fresh is None:
            return None
        issued = replay(fresh, self.kept(value, scored), scored.start, scored.end)
        return self.corrected(value, issued, self.scales(scored.market, scored.row))
