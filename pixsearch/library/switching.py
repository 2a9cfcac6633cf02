"""Switch a library from one model to another.

Features belong to a content and a model. The features from the old model are kept until the new model has encoded the
same content. The rows of photos do not change. A photo whose content the new model has not encoded yet counts as
changed, so every run of the indexer continues the switch. There are two cases:

- The old model is still available. Searches use it until the new model, the target, has encoded every photo that can
  be reached.
- The old model is gone, for example after an upgrade, and cannot encode queries. Searches use the new model from the
  start.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, case, delete, exists, func, or_, select

from pixsearch.database.database import Database
from pixsearch.database.schema import (
    CONTENTS,
    FEATURES,
    GRIDS,
    LOOK_AGAIN,
    MODELS,
    PHOTOS,
    ROOTS,
    RUNS,
    TEXT_FEATURES,
)
from pixsearch.database.state import LibraryModel, model_with, state_of
from pixsearch.errors import ModelMismatch, ModelNotFound, PixsearchError
from pixsearch.library.records import Switch
from pixsearch.printable import plural
from pixsearch.settings import library_location

STATED_RATE = 30.0
"""The number of photos per second assumed if the library has no measurement.

It is half the speed given in docs/performance.md for two cores.
"""
_MEASURED_FROM = 100
"""The minimum number of photos in a run used as a measurement. A shorter run is dominated by its startup time."""


class Models(NamedTuple):
    """The ids of a library's models."""

    in_use: int | None
    """The model used for searches, or None if the library is empty."""
    target: int | None
    """The model that the library is being switched to, or None."""

    @property
    def indexing(self) -> int | None:
        """The model that encodes new photos."""
        return self.in_use if self.target is None else self.target


def models_of(connection: Connection) -> Models:
    state = state_of(connection)
    return Models(state.model_id, state.target_id)


def indexing_model_of(connection: Connection) -> LibraryModel | None:
    """Return the model that encodes new photos, or None if the library is empty."""
    return model_with(connection, models_of(connection).indexing)


def unfinished_model(connection: Connection) -> int | None:
    """Return the id of the model that a library is being switched to, or None if there is no unfinished switch."""
    if (connection.scalar(select(func.count(MODELS.c.id))) or 0) < 2:
        return None
    return models_of(connection).indexing


def size_to_compare(model_id: int) -> ColumnElement[int]:
    """Return an SQL expression for a photo's size, which is LOOK_AGAIN if the model has not encoded its content."""
    return case((_has_features(model_id), PHOTOS.c.size_bytes), else_=LOOK_AGAIN)


def switch_of(connection: Connection) -> Switch | None:
    """See `Library.switch`."""
    if (model_id := unfinished_model(connection)) is None:
        return None
    models = models_of(connection)
    waiting = (
        select(PHOTOS.c.content_id, func.max(case((ROOTS.c.online, 1), else_=0)).label("online"))
        .join(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
        .where(~_has_features(model_id))
        .group_by(PHOTOS.c.content_id)
        .subquery()
    )
    to_encode, online = connection.execute(
        select(func.count(waiting.c.content_id), func.coalesce(func.sum(waiting.c.online), 0))
    ).one()
    if not to_encode and models.target is None:
        return None
    model = model_with(connection, model_id)
    assert model is not None, "its id is a foreign key"
    return Switch(model, to_encode, to_encode - online, to_encode / _rate(connection)[0], models.target is None)


def waiting_roots(connection: Connection, model_id: int) -> list[bytes]:
    """Return the paths of the roots with photos whose contents the model has not encoded."""
    photos = exists().where(PHOTOS.c.root_id == ROOTS.c.id, ~_has_features(model_id))
    return list(connection.scalars(select(ROOTS.c.path).where(photos)))


def drop_replaced(connection: Connection, models: Models) -> None:
    """Delete the features computed by models no longer in use.

    Features of contents and texts that the current model has not encoded yet are kept.
    """
    kept = [model_id for model_id in models if model_id is not None]
    for table in (FEATURES, GRIDS, TEXT_FEATURES):
        its, other = table.columns[0], table.alias()
        replaced = exists().where(other.columns[0] == its, other.c.model_id == models.in_use)
        connection.execute(delete(table).where(table.c.model_id.not_in(kept), replaced))
    used = or_(*(exists().where(table.c.model_id == MODELS.c.id) for table in (FEATURES, TEXT_FEATURES)))
    connection.execute(delete(MODELS).where(MODELS.c.id.not_in(kept), ~used))


def mismatch(connection: Connection, database: Database, name: str, fingerprint: str) -> ModelMismatch:
    """Return the error for a model that does not match the library, with the command to run and the estimated time."""
    models = models_of(connection)
    used, target = model_with(connection, models.in_use), model_with(connection, models.target)
    assert used is not None, "a library without features accepts any model"
    cost, index = _cost(connection, fingerprint), f"pixsearch index{_library_option(database)}"
    here = f"the library {database.name}"
    if target is not None and fingerprint in (used.fingerprint, target.fingerprint):
        state = f"{here} is being switched from model {_shown(used)} to {_shown(target)}"
        finish = f"the switch with: {index} ({_cost(connection, target.fingerprint)})"
        if fingerprint == target.fingerprint:
            return ModelMismatch(state, f"Search with {used.name} for now, or finish {finish}")
        back = f"{index} --model {shlex.quote(used.name)} --switch-model"
        return ModelMismatch(state, f"Finish {finish}, or go back with: {back}")
    requested = f"{name} ({fingerprint[:8]})"
    if name in (used.name, "" if target is None else target.name):
        old = used if name == used.name else target
        assert old is not None, "one of the two models has this name"
        return ModelMismatch(
            f"{here} was indexed with the earlier model {_shown(old)}, which has been replaced by {requested}",
            f"Re-encode its photos with the new model: {index} --switch-model ({cost})",
        )
    return ModelMismatch(
        f"{here} was indexed with the model {_shown(used)}, not {requested}",
        "Omit --model, choose another library with --library, or re-encode all photos with the new model: "
        f"{index} --model {shlex.quote(name)} --switch-model ({cost})",
    )


def model_is_gone(connection: Connection, database: Database, model: LibraryModel) -> ModelNotFound:
    """Return the error for a library whose model is no longer on this machine."""
    return ModelNotFound(
        f"the library {database.name} was indexed with the model {_shown(model)}, which is no longer on this machine",
        "Restore the model, or re-encode all photos with the built-in model: "
        f"pixsearch index{_library_option(database)} --model shipped --switch-model ({_cost(connection, '')})",
    )


def _has_features(model_id: int | None) -> ColumnElement[bool]:
    """Return an SQL condition that is true if a model has encoded a photo's content."""
    return exists().where(FEATURES.c.content_id == PHOTOS.c.content_id, FEATURES.c.model_id == model_id)


def _cost(connection: Connection, fingerprint: str) -> str:
    """Return the number of photos that a model still has to encode and the estimated time, as text for a message."""
    model_id = connection.scalar(select(MODELS.c.id).where(MODELS.c.fingerprint == fingerprint))
    read = exists().where(FEATURES.c.content_id == CONTENTS.c.id, FEATURES.c.model_id == model_id)
    count = connection.scalar(select(func.count(CONTENTS.c.id)).where(~read)) or 0
    rate, measured = _rate(connection)
    basis = "at the speed of an earlier run" if measured else f"at {rate:.0f} photos per second"
    return f"{plural(count, 'photo')}, {approximate_duration(count / rate)} {basis}"


def approximate_duration(seconds: float) -> str:
    """Return a duration rounded to minutes or hours, such as "about 5 minutes"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 120:
        return f"about {plural(minutes, 'minute')}"
    return f"about {minutes / 60:.0f} hours"


def _rate(connection: Connection) -> tuple[float, bool]:
    """Return the number of photos encoded per second, and whether it was measured in a previous run."""
    took_s = RUNS.c.finished_at_s - RUNS.c.started_at_s
    of_many = select(RUNS.c.encoded / took_s).where(RUNS.c.encoded >= _MEASURED_FROM, took_s > 0)
    rate = connection.scalar(of_many.order_by(RUNS.c.id.desc()).limit(1))
    return (STATED_RATE, False) if rate is None else (float(rate), True)


def _library_option(database: Database) -> str:
    """Return the --library option for this library, or an empty string for the default library."""
    try:
        location = library_location()
    except PixsearchError:  # without a home directory, there is no default library
        return f" --library {shlex.quote(database.name)}"
    is_default = database.name == (location if isinstance(location, str) else str(location.absolute()))
    return "" if is_default else f" --library {shlex.quote(database.name)}"


def _shown(model: LibraryModel) -> str:
    return f"{model.name} ({model.fingerprint[:8]})"
