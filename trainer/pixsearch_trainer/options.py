"""Define the options of `pixsearch train`, and apply settings to the stages of a recipe."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pixsearch.errors import UsageError
from pixsearch_trainer.run.accelerator import Precision

T = TypeVar("T")

_CHANGEABLE = {"out", "resume", "workers"}
"""The options that may change when a run is resumed."""
_EXPECTED = {
    float: "a non-negative number",
    int: "a non-negative integer",
    bool: "true or false",
    str: "text",
    tuple: "a list such as [0.5, 0.9]",
    NoneType: "none",
}


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of `pixsearch train` and their defaults."""

    recipe: str = "finetune"
    data: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    weight: tuple[float, ...] = ()
    library: str | None = None
    max_bad: int | None = None
    workers: int | None = None
    model: str | None = None
    stage: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    teacher: str | None = None
    teacher_texts: str | None = None
    minutes: float | None = None
    seed: int = 0
    precision: Precision | None = None
    out: str | None = None
    pack: str | None = None
    resume: bool = False
    dry_run: bool = False

    def given(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        defaults = TrainOptions()
        return {name: value for name, value in vars(self).items() if value != getattr(defaults, name)}

    def as_json(self) -> dict[str, Any]:
        """Return the options to store for `resumed`."""
        return {name: value for name, value in self.given().items() if name not in _CHANGEABLE}

    def resumed(self, begun: Mapping[str, Any]) -> TrainOptions:
        """Return the options with which a run was started, updated with the options that may change.

        Raises UsageError if any other option differs, or if an option is unknown.
        """
        begun = {name: tuple(value) if isinstance(value, list) else value for name, value in begun.items()}
        if unknown := begun.keys() - vars(self).keys():
            raise UsageError(
                f"the run to resume has unsupported options ({', '.join(sorted(unknown))})", "Start a new run"
            )
        for name, value in self.given().items():
            if name not in _CHANGEABLE and begun.get(name) != value:
                raise UsageError(
                    f"{flag(name)} does not match the run to resume", f"Leave out {flag(name)} or --resume"
                )
        return TrainOptions(**begun | {name: getattr(self, name) for name in _CHANGEABLE})


def flag(name: str) -> str:
    """Return the command-line name of an option."""
    return "--" + name.replace("_", "-")


def with_settings(options: T, settings: Sequence[str]) -> T:
    """Apply settings such as "maps.epochs=30" to the options of a recipe, and return the result.

    Args:
        options: a dataclass whose fields are dataclasses.

    Raises:
        UsageError: a setting is malformed, its stage or field is unknown, or its value is invalid.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        group, _, name = key.partition(".")
        groups = [field.name for field in dataclasses.fields(options)]  # type: ignore[arg-type]
        if not equals or group not in groups:
            raise UsageError(
                f"unknown setting {setting!r}", f"Use STAGE.FIELD=VALUE, where STAGE is one of: {', '.join(groups)}"
            )
        part = getattr(options, group)
        if name not in vars(part):
            raise UsageError(f"{group} has no setting {name!r}", f"Valid settings: {', '.join(vars(part))}")
        value = _parsed(key, text, get_type_hints(type(part))[name])
        options = dataclasses.replace(options, **{group: dataclasses.replace(part, **{name: value})})  # type: ignore[type-var]
    return options


def _parsed(key: str, text: str, kind: Any) -> Any:
    """Parse the value of a setting according to the type of its field. Raises UsageError if the value is invalid."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None if text.lower() == "none" else text
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for one in kinds:
        if get_origin(one) is Literal and value in get_args(one):
            return value
        if get_origin(one) is tuple and isinstance(value, list) and all(map(_is_size, value)):
            return tuple(map(float, value))
        if one is float and _is_size(value):
            return float(value)
        if one is str:
            return text
        if type(value) is one and (one in (bool, NoneType) or (one is int and _is_size(value))):
            return value
    choices = [repr(choice) for one in kinds if get_origin(one) is Literal for choice in get_args(one)]
    expected = " or ".join(choices or [_EXPECTED[get_origin(one) or one] for one in kinds])
    raise UsageError(f"invalid value {text!r} for {key}", f"Expected {expected}")


def _is_size(value: object) -> bool:
    """Return whether a value is a finite, non-negative number, as required for all numeric settings."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
