"""What a run's page draws of the probabilities of the head "direction"."""

from typing import TYPE_CHECKING, Any

from fusionjax.heads.curves import SMOOTH, Calls, Curves, dates, smoothed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_BINS = 10  # of the probabilities


def are_probabilities(rows: "pd.DataFrame") -> bool:
    """Whether stored values are probabilities; the calls of a point forecast are none."""
    return "up_calibrated" not in rows or bool(rows["up_calibrated"].notna().all())


def calls(rows: "pd.DataFrame", classes: tuple[str, ...]) -> Calls:
    """Each forecast as a mark and as a case."""
    import numpy as np

    p, rose = rows["up"].to_numpy(float), rows["rose"].to_numpy(float)
    up, known = p > 0.5, np.isfinite(rose)
    words = [f"{x:.1%} up" for x in p]
    if not are_probabilities(rows):
        words = [classes[int(x)] for x in up]
    return Calls(
        up,
        words,
        np.where(known, up == (rose > 0.5), np.nan),
        np.abs(p - 0.5),
        np.abs(rows["growth"].to_numpy(float)),
        [f"{w}, came {g:+.2%}" for w, g in zip(words, rows["growth"], strict=True)],
    )


def calibration(known: "pd.DataFrame", rose: "np.ndarray") -> list[Curves]:
    """Reliability, and the error by share answered, of samples with known labels."""
    import numpy as np

    from fusionjax.scores.calibration import risk_coverage

    lines: dict[str, Any] = {}
    for name, column in (("as forecast", "up"), ("calibrated by temperature", "up_calibrated")):
        p = known[column].to_numpy(float)
        edge = np.quantile(p, np.linspace(0, 1, _BINS + 1)[1:-1])
        # Where many samples have the same probability, a tenth may be nearly empty.
        bins = np.searchsorted(edge, p)
        count = np.bincount(bins, minlength=_BINS)
        full = 2 * _BINS * count >= len(p)
        lines[name] = tuple(np.bincount(bins, x, _BINS)[full] / count[full] for x in (p, rose))
    ends = [f(p) for f in (np.min, np.max) for p, _ in lines.values()]
    lines["perfect"] = ([min(ends), max(ends)],) * 2
    p = known["up_calibrated"].to_numpy(float)
    wrong = ((p > 0.5) != (rose > 0.5)).astype(float)
    error = {"error": risk_coverage(np.abs(p - 0.5), wrong)}
    first, second = (
        "Forecast and observed, by tenths of the samples",
        "Error when only the most confident share is answered",
    )
    return [
        Curves("Calibration", first, lines, "probability of up", "share that rose"),
        Curves("Calibration", second, error, "share answered", "share wrong"),
    ]


def log_loss(known: "pd.DataFrame", rose: "np.ndarray") -> Curves:
    """Log loss over time."""
    import pandas as pd

    from fusionjax.scores.metrics import direction_loss

    loss = pd.Series(direction_loss(known["up"].to_numpy(float), rose > 0.5))
    mean = smoothed(loss.groupby(known["target_day"].to_numpy()).mean())
    name = f"log loss, mean of {SMOOTH} days"
    return Curves("Drift", "", {name: (dates(mean.index), mean)})
