"""An update is taken back with a record, and a run that may not serve is not served."""

import json
from pathlib import Path

import pytest

from fusionjax import files
from fusionjax.adapt import serving
from fusionjax.adapt.serving import Serving
from fusionjax.errors import InputError

REFUSED = "refused: worse than the parent"


def write(path: Path, **content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """Three days: two updates that were promoted, and one that the gate refused."""
    service, run = tmp_path / "service", str(tmp_path / "first")
    Path(run).mkdir()
    for day, promoted in (("2020-01-02", True), ("2020-01-03", False), ("2020-01-06", True)):
        write(service / day / "begun.json", run=run, data="")
        write(service / day / "update.json", promoted=promoted, why="" if promoted else REFUSED)
        (service / day / "update").mkdir()
        run = str(service / day / "update") if promoted else run
    Serving.of(service, Path(run)).write(service)
    return service


def update(service: Path, day: str) -> Path:
    return service / day / "update"


def test_updates_are_taken_back_one_by_one(service: Path, tmp_path: Path) -> None:
    serving.require_accepted(service)
    now, taken = serving.rollback(service, "its calls all go one way")
    assert taken == update(service, "2020-01-06")
    first = str(tmp_path / "first")
    assert now == Serving(str(update(service, "2020-01-02")), "2020-01-02", first)
    assert Serving.read(service) == now
    serving.require_accepted(service)
    record = json.loads((service / "2020-01-06/rollback.json").read_text())
    assert record["why"] == "its calls all go one way"
    assert record["run"] == str(taken)
    assert record["serves"] == now.run
    assert "@" in record["who"]
    assert record["when"].endswith(" UTC")
    assert not serving.may_serve(service / "2020-01-06")
    assert serving.may_serve(service / "2020-01-02")
    now, _ = serving.rollback(service, "nor that one")
    assert now == Serving(first, "", "")
    with pytest.raises(InputError, match="nothing to take back; .*first has served from the begin"):
        serving.rollback(service, "and more")


def test_a_rollback_needs_a_reason_and_a_service_of_its_own(service: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--rollback needs --because=WHY"):
        serving.rollback(service, "  ")
    with pytest.raises(InputError, match="nowhere: no service here"):
        serving.rollback(tmp_path / "nowhere", "why")
    with (
        files.locked(service),
        pytest.raises(InputError, match="another process serves there"),
    ):
        serving.rollback(service, "why")


def test_what_the_gate_refused_is_not_served_though_serving_json_names_it(service: Path) -> None:
    Serving(str(update(service, "2020-01-03")), "2020-01-03", "").write(service)
    wanted = f"may not serve: the promotion gate decided otherwise .{REFUSED}.; .*--rollback --bec"
    with pytest.raises(InputError, match=wanted):
        serving.require_accepted(service)
    now, _ = serving.rollback(service, "edited by mistake")
    assert now.run == str(update(service, "2020-01-02"))
    serving.require_accepted(service)


def test_an_undecided_update_and_one_that_was_taken_back_are_not_served(service: Path) -> None:
    (service / "2020-01-07" / "update").mkdir(parents=True)
    Serving(str(update(service, "2020-01-07")), "2020-01-07", "").write(service)
    with pytest.raises(InputError, match="the promotion gate has not decided on it"):
        serving.require_accepted(service)
    taken = update(service, "2020-01-06")
    Serving.of(service, taken).write(service)
    serving.rollback(service, "odd")
    Serving.of(service, taken).write(service)
    with pytest.raises(InputError, match=r"took it back on 20.* UTC \(odd\); let the run before"):
        serving.require_accepted(service)
    # As after a kill between the record and serving.json: the first record stays.
    serving.rollback(service, "again")
    assert json.loads((service / "2020-01-06/rollback.json").read_text())["why"] == "odd"
    assert Serving.read(service).run == str(update(service, "2020-01-02"))


def test_a_run_from_elsewhere_that_its_gate_refused_is_not_served(
    service: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    Serving(str(other), "", "").write(service)
    serving.require_accepted(service)  # nothing was decided of it: an operator's choice
    write(other / "gate.json", promoted=False, why=REFUSED)
    with pytest.raises(InputError, match="the promotion gate decided otherwise"):
        serving.require_accepted(service)
    now, _ = serving.rollback(service, "not ours")
    assert now == Serving(str(tmp_path / "first"), "", "")
    assert json.loads((service / "rollback-1.json").read_text())["why"] == "not ours"


def test_the_first_run_was_chosen_by_hand(service: Path, tmp_path: Path) -> None:
    write(tmp_path / "first" / "gate.json", promoted=False, why=REFUSED)
    Serving(str(tmp_path / "first"), "", "").write(service)
    serving.require_accepted(service)


def test_a_run_that_is_gone_does_not_serve_again(service: Path) -> None:
    update(service, "2020-01-02").rmdir()
    with pytest.raises(InputError, match="served before .*, but is gone; restore it"):
        serving.rollback(service, "why")
    assert Serving.read(service).run == str(update(service, "2020-01-06"))
