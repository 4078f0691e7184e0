"""Keys of before heads were entries of ``config.targets``: named where a config still has one, and
translated where a checkpoint does."""

from typing import Any

from fusionjax.errors import InputError

RENAMED = {
    "targets.classes": "targets.direction.classes",
    "targets.up": "targets.direction.up",
    "targets.down": "targets.direction.down",
    "targets.quantiles": "targets.returns.quantiles",
    "targets.direction": "targets.direction.horizons",
    "targets.returns": "targets.returns.horizons",
    "targets.volatility": "targets.volatility.horizons",
    "loss.direction": "targets.direction.weight",
    "loss.returns": "targets.returns.weight",
    "loss.volatility": "targets.volatility.weight",
}


def refuse(key: str, value: Any) -> None:
    """Raises InputError for a dotted key that has another name now; heads are no plain values."""
    if key in RENAMED and not isinstance(value, dict):
        raise InputError(
            f"config.{key} is called config.{RENAMED[key]} now; give it under that name"
        )


def translated(raw: Any) -> Any:
    """The JSON of a checkpoint's config with today's keys; as it is if it has them.

    Raises:
      InputError: it has some of the old keys, and not all.
    """
    targets = raw.get("targets") if isinstance(raw, dict) else None
    if not isinstance(targets, dict) or "classes" not in targets:
        return raw
    # In the order of a model's outputs.
    heads: dict[str, dict[str, Any]] = {"direction": {}, "returns": {}, "volatility": {}}
    try:
        for old, new in RENAMED.items():
            (section, key), (_, head, name) = old.split("."), new.split(".")
            heads[head][name] = raw[section][key]
        space = [[RENAMED.get(key, key), values] for key, values in raw["sweep"]["space"]]
        fusions = [
            [name, {RENAMED.get(key, key): value for key, value in changes.items()}]
            for name, changes in raw["ladder"]["fusions"]
        ]
        return raw | {
            "targets": heads,
            "loss": {k: v for k, v in raw["loss"].items() if k not in heads},
            "sweep": raw["sweep"] | {"space": space},
            "ladder": raw["ladder"] | {"fusions": fusions},
        }
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise InputError(
            f"config: has targets.classes, as older ones do, but not all that they had ({e}); "
            "give an undamaged one"
        ) from e
