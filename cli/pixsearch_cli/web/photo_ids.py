"""Reads the ids of many photos from the body of a request: as JSON, or as a form field."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Request
from pydantic import BaseModel, ConfigDict, FailFast, Field, field_validator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from pixsearch_cli.web.search_api import invalid_is_a_problem

MOST_IDS = 100_000
IDS_LIMIT_BYTES = 2 << 20
"""The limit for a body: 100,000 ids of at most 19 digits, each with a separator."""

_FORM = "application/x-www-form-urlencoded"


class PhotoIds(BaseModel):
    """A request for many photos."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], FailFast()] = Field(
        description=f"1 to {MOST_IDS} ids of hits or of photos in the timeline. Duplicates are ignored.",
        examples=[[17, 4, 711]],
    )

    @field_validator("ids", mode="before")
    @classmethod
    def _are_no_more_than_may_be(cls, given: object) -> object:
        if isinstance(given, list) and not 1 <= len(given) <= MOST_IDS:
            problem = "no photos given: send at least one id"
            if given:
                problem = f"at most {MOST_IDS:,} photos are allowed, got {len(given):,}: send several requests"
            raise PydanticCustomError("number_of_ids", "{problem}", {"problem": problem})
        return given


BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": PhotoIds.model_json_schema()},
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["ids"],
                    "properties": {
                        "ids": {
                            "type": "string",
                            "description": "The ids, separated by spaces or commas.",
                            "example": "17 4 711",
                        }
                    },
                }
            },
        },
    }
}


async def read_ids(request: Request) -> list[int]:
    """Return the ids in the order in which they were sent, without duplicates.

    Raises HTTPException, RequestValidationError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", _FORM):
        raise HTTPException(415, f"send the ids as application/json or as {_FORM}")
    body = await request.body()
    with invalid_is_a_problem():
        sent = PhotoIds.model_validate_json(body) if kind == "application/json" else _of_form(body)
    return list(dict.fromkeys(sent.ids))


def _of_form(body: bytes) -> PhotoIds:
    """Parse the ids in a form. Raises ValidationError, HTTPException."""
    try:
        fields = parse_qs(body.decode("latin-1"), keep_blank_values=True, max_num_fields=1)
    except ValueError as error:
        raise HTTPException(422, "the form may only contain the field ids") from error
    values: dict[str, Any] = {name: texts[0].replace(",", " ").split() for name, texts in fields.items()}
    return PhotoIds.model_validate(values)
