"""Ledger records as runs of MLflow, for desks that follow their experiments there."""

import datetime
import math
import re
from typing import Any

from fusionjax.errors import InputError
from fusionjax.ledger import Record

_ID = "fusionjax.id"  # tag by which a record is known again
_PARAMS_AT_ONCE = 100  # as the server's API takes them
_LONGEST = 6000  # characters of a value, likewise


def export(records: list[Record], uri: str) -> int:
    """Adds the finished records that a tracking server lacks, each a run of its config's
    experiment: settings as parameters, scores and costs as metrics, seeds and the like as tags.

    Args:
      records: of the ledger.
      uri: of the server, as MLflow has it: ``http://HOST:5000``, ``sqlite:///FILE``.

    Returns:
      How many were added.

    Raises:
      InputError: its server does not answer or refuses.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    finished = [r for r in records if r.finished]
    try:
        client, added = MlflowClient(uri), 0
        for name in sorted({r.name for r in finished}):
            found = client.get_experiment_by_name(name)
            experiment = client.create_experiment(name) if found is None else found.experiment_id
            known = _known(client, experiment)
            for record in finished:
                if record.name == name and record.id not in known:
                    _add(client, experiment, record)
                    added += 1
    except MlflowException as error:
        raise InputError(f"--mlflow={uri}: {str(error).splitlines()[0]}") from error
    return added


def _known(client: Any, experiment: str) -> set[str]:
    """Records that an experiment has whole; a run that an interruption left is not finished."""
    known: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], "status = 'FINISHED'", page_token=token)
        known |= {run.data.tags.get(_ID, "") for run in page}
        token = page.token
        if not token:
            return known


def _add(client: Any, experiment: str, record: Record) -> None:
    from mlflow.entities import Metric, Param, RunTag

    ended = datetime.datetime.strptime(record.id[:15], "%Y%m%dT%H%M%S")
    end = round(ended.replace(tzinfo=datetime.UTC).timestamp() * 1000)
    start = end - round(1000 * record.cost.get("seconds", 0))
    run = client.create_run(experiment, start, run_name=record.run).info.run_id
    numbers = record.metrics | {f"cost {name}": value for name, value in record.cost.items()}
    metrics = [
        Metric(re.sub(r"[^\w./: -]", "_", name), float(value), end, 0)
        for name, value in numbers.items()
        if math.isfinite(value)
    ]
    tags = {
        _ID: record.id,
        "kind": record.kind,
        "parent": record.parent,
        "code": record.code,
        "data": record.data,
        "seeds": ", ".join(map(str, record.seeds)),
        "split": ", ".join(record.split),
        "suspect": "; ".join(record.suspect),
    }
    client.log_batch(run, metrics, tags=[RunTag(k, v) for k, v in tags.items() if v])
    params = [Param(k, str(v)[:_LONGEST]) for k, v in sorted(record.config.items())]
    for i in range(0, len(params), _PARAMS_AT_ONCE):
        client.log_batch(run, params=params[i : i + _PARAMS_AT_ONCE])
    client.set_terminated(run, "FINISHED", end)
