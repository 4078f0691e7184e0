"""Checks the quality of a prepared set before training: findings, tables and a verdict."""

import dataclasses
import json
from pathlib import Path

import pandas as pd

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data.audit import (
    bars,
    content,
    fitted,
    items,
    labels,
    lead,
    prices,
    sessions,
    universe,
    volumes,
)
from fusionjax.data.audit.finding import STOP, WATCH, Finding
from fusionjax.data.store import Market
from fusionjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Audit:
    """Findings about ``subject``, with ``tables`` by title; codes in ``accepted`` are tolerated."""

    subject: str
    findings: list[Finding]
    tables: dict[str, pd.DataFrame]
    accepted: tuple[str, ...]

    @property
    def refusals(self) -> list[Finding]:
        """Findings of level ``stop`` that the config does not accept: they forbid training."""
        return [f for f in self.findings if f.level == STOP and f.code not in self.accepted]

    @property
    def verdict(self) -> str:
        """Whether the set is fit to train on, in one sentence."""
        watch = [f for f in self.findings if f.level == WATCH]
        if self.refusals:
            return f"not fit to train on: {', '.join(f.code for f in self.refusals)}"
        if watch:
            return f"fit to train on, with {len(watch)} finding{'s' * (len(watch) > 1)} to look at"
        return "fit to train on"

    def require_fit(self) -> None:
        """Raises InputError for the first refusal."""
        if self.refusals:
            first = self.refusals[0]
            raise InputError(
                f"{self.subject}: {first.code}: {first.what}. {first.do}; or accept it as it is: "
                f"--config.data.accepted_findings=\"('{first.code}',)\""
            )

    def save(self, folder: Path) -> Path:
        """Writes ``audit.json`` into a folder; returns its path."""
        raw = {
            "subject": self.subject,
            "verdict": self.verdict,
            "accepted": self.accepted,
            "findings": [dataclasses.asdict(f) for f in self.findings],
            "tables": {k: json.loads(t.to_json(orient="table")) for k, t in self.tables.items()},
        }
        files.write_text(folder / "audit.json", json.dumps(raw, indent=1, default=str))
        return folder / "audit.json"


def audit(market: Market, config: Config) -> Audit:
    """Checks bars, texts, media, labels and leaks of a prepared set, and what was left out of it.

    Args:
      market: the set.
      config: gives splits, targets, channels and ``data.accepted_findings``.
    """
    tables: dict[str, pd.DataFrame] = {}
    findings = [
        *sessions.findings(market, config, tables),
        *bars.findings(market, config, tables),
        *prices.findings(market, tables),
        *volumes.findings(market),
        *items.findings(market, config, tables),
        *content.findings(market),
        *labels.findings(market, config, tables),
        *lead.findings(market, config, tables),
        *universe.findings(market, config),
        *fitted.findings(market, config),
    ]
    subject = f"{config.data.source} {market.fingerprint[:12]}"
    return Audit(subject, findings, tables, config.data.accepted_findings)
