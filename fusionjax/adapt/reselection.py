"""A fine-tuning asks again which modalities are worth their weight, before it trains.

Its own rows are later than all that the parent learned from: they are added to the evidence that
the parent's ``fusion.json`` holds, whose oldest sessions leave in exchange, and the same rule
decides. The experts of modalities without weight have gone on learning, so they can be asked.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from fusionjax.config import Config
from fusionjax.data.pipeline import labelled_batches
from fusionjax.data.samples import Samples
from fusionjax.distill import evidence, weights
from fusionjax.distill.elimination import PLACEBOS, Rises, Worth, enough_shown, least_sessions
from fusionjax.distill.evidence import Evidence
from fusionjax.train import events
from fusionjax.train.hooks import modality_selection
from fusionjax.train.job import Run
from fusionjax.train.program import meta_batch_size

_UNASKED = (0.0, 0.0, 0.0, 1.0)  # as the fields of ``Worth``


@dataclasses.dataclass(frozen=True)
class Past:
    """What a parent's ``fusion.json`` says of its modalities.

    Attributes:
      state: of each: kept, dropped, waiting or forced.
      known: the evidence of each.
      window: sessions of evidence that count.
    """

    state: dict[str, str]
    known: dict[str, Evidence]
    window: int

    @staticmethod
    def read(folder: Path) -> "Past | None":
        """Of a seed's folder; None if no modalities were selected, or it holds no evidence."""
        path = folder / "fusion.json"
        stored = json.loads(path.read_text()) if path.exists() else {}
        if "evidence" not in stored:
            return None
        known = {name: Evidence.from_json(e) for name, e in stored["evidence"].items()}
        return Past(stored["state"], known, stored["window"])

    @property
    def kept(self) -> Bool[np.ndarray, "M"]:
        """Which have weight."""
        return np.array([word in ("kept", "forced") for word in self.state.values()])

    @property
    def waits(self) -> Bool[np.ndarray, "M"]:
        """Which wait for evidence."""
        return np.array([word == "waiting" for word in self.state.values()])

    def with_more(self, later: list[Evidence], asked: Bool[np.ndarray, "M"]) -> "Past":
        """With later evidence of the modalities that were asked."""
        more = zip(self.known.items(), later, asked, strict=True)
        known = {n: old.then(e, self.window) if a else old for (n, old), e, a in more}
        return dataclasses.replace(self, known=known)

    def decide(self, config: Config) -> dict[str, Any]:
        """What all evidence says, for ``fusion.json``."""
        was = dict(zip(self.state, map(bool, self.kept), strict=True))
        forced = config.distill.keep
        now, worth = evidence.ask_again(self.known, was, forced, weights.horizon(config))
        columns = zip(*(worth.get(name, _UNASKED) for name in self.state), strict=True)
        judged = [n in worth or word != "waiting" for n, word in self.state.items()]
        return {
            "modalities": list(self.state),
            "state": evidence.states(tuple(self.state), now.values(), judged, forced),
            "before": self.state,
            "kept": [float(x) for x in now.values()],
            **{f: [float(x) for x in c] for f, c in zip(Worth._fields, columns, strict=True)},
            "anomalies": [],
            "window": self.window,
            "evidence": {name: e.to_json() for name, e in self.known.items()},
        }


def shown_to(run: Run, old: Samples) -> Bool[np.ndarray, "M"]:
    """Which modalities enough of the parent's rows, ``old``, showed to its encoders."""
    if not len(old):
        return np.zeros(len(run.config.modalities), bool)
    old = modality_selection.some_in_order(old)
    pages = labelled_batches(old, run.windows, meta_batch_size(run.config.train))
    present = [
        np.stack([page.present[name] for name in run.config.modalities], -1)[page.weight > 0]
        for page in pages
    ]
    return enough_shown(np.concatenate(present), old.target_day)


@dataclasses.dataclass(frozen=True)
class Question:
    """What an update asks before it trains.

    Attributes:
      run: of the update.
      new: its samples, all later than what the parent learned from.
      old: the parent's own samples.
      shown: see ``shown_to``: of the others, those that wait go on waiting.
    """

    run: Run
    new: Samples
    old: Samples
    shown: Bool[np.ndarray, "M"]

    @property
    def sessions(self) -> int:
        """New sessions."""
        return len(np.unique(self.new.target_day))

    def ask(self, parent: Path, params: dict) -> tuple[dict, dict[str, Any] | None]:
        """The parent's parameters with the modalities that all evidence speaks for.

        Args:
          parent: folder of the parent's seed.
          params: of the parent.

        Returns:
          The parameters, and the record for the child's ``fusion.json``; None if the parent has no
          evidence, whose modalities stay.
        """
        past, program = Past.read(parent), self.run.program
        if past is None:
            return params, None
        params = program.silenced(params)
        rows, fresh = self._rows()
        size = meta_batch_size(self.run.config.train)
        encoded, broken = modality_selection.finite(
            program.encode(params, labelled_batches(rows, self.run.windows, size))
        )
        kept, asked, fresh = past.kept, ~past.waits | self.shown, fresh[~broken]
        rises = program.measure(params, *encoded, kept, asked)
        rises = Rises(*(x[:, fresh] for x in rises))
        session = np.unique(rows.target_day[~broken][fresh], return_inverse=True)[1]
        past = past.with_more(evidence.by_session(rises, session), asked)
        record = past.decide(self.run.config)
        stays = np.array([word in ("kept", "forced") for word in record["state"].values()])
        params = program.with_kept(params, stays, np.asarray(encoded[0].present)[fresh].mean(0))
        settled = dataclasses.asdict(program.diagnose(params, *encoded))
        return params, {**record, "settled": settled}

    def _rows(self) -> tuple[Samples, Bool[np.ndarray, "N"]]:
        """The samples to encode, in time order, and which of them are new.

        Of few sessions a sample some rows away would be of the same day, and no placebo of what all
        stocks share: the parent's rows come first then, so many that all placebos are of them.
        """
        new, count = modality_selection.some_in_order(self.new), 0
        if self.sessions <= PLACEBOS:
            old = modality_selection.some_in_order(self.old)
            count = min(PLACEBOS * len(new), len(old))
            new = old.take(np.linspace(0, len(old) - 1, count).astype(int)).then(new)
        return new, np.arange(len(new)) >= count

    def tell(self, label: str, record: dict[str, Any] | None, folder: Path) -> None:
        """Says what was decided, and writes ``fusion.json`` of the child's folder."""
        if record is None:
            if weights.are_learned(self.run.config):
                text = "the parent has no evidence of its modalities (fusion.json): they stay"
                events.tell("T3", f"{label}: {text}", folder)
            return
        modality_selection.write(folder, record)
        needed = least_sessions(weights.horizon(self.run.config))
        words = []
        for i, (name, state) in enumerate(record["state"].items()):
            sessions = len(record["evidence"][name]["samples"])
            text = f"{record['earned'][i]:+.4f} ± {record['error'][i]:.4f}"
            if sessions < needed:
                text = f"{sessions} of {needed} sessions of evidence: not enough days to ask again"
            before = record["before"][name]
            words.append(f"{name} {text} ({before}{'' if state == before else f', now {state}'})")
        text = f"modalities asked again with {self.sessions} new sessions: {', '.join(words)}"
        events.tell("T3", f"{label}: {text}", folder)
