"""The parameters of a search request, in a URL or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, create_model, model_validator
from pydantic_core import PydanticCustomError

from pixsearch import Filters, Picture, Query, Words
from pixsearch.search.query import DEFAULT_CANDIDATES, Sort
from pixsearch_cli.query_filters import FILTERS, Filter, filters_of
from pixsearch_cli.query_parts import split_weight

MOST_RERANKED = 256
MOST_LIKE = 32
"""The maximum number of pictures in `like`, and also in `unlike`."""
MOST_HITS = 1000
MOST_SKIPPED = 100_000_000
_UNKNOWN_NAMED = 3
_NAME_SHOWN = 40

_WORDS = StringConstraints(max_length=1000)
_PATTERN = r"^(\d{1,6}(\.\d{1,6})?:)?(\d{1,18}|[0-9a-f]{64})$"

Operand = Annotated[str, _WORDS]
LikeOperand = Annotated[str, StringConstraints(pattern=_PATTERN)]
FolderName = Annotated[str, StringConstraints(max_length=4096)]
Text = Annotated[str, StringConstraints(max_length=256)]

Operands = Annotated[list[Operand], Field(max_length=8)]


def _are_no_more_than_may_be(given: object) -> object:
    if isinstance(given, list) and len(given) > MOST_LIKE:
        numbers = {"given": len(given), "most": MOST_LIKE}
        raise PydanticCustomError("number_of_pictures", "at most {most} pictures are allowed, got {given}", numbers)
    return given


LikeOperands = Annotated[
    list[LikeOperand], Field(json_schema_extra={"maxItems": MOST_LIKE}), BeforeValidator(_are_no_more_than_may_be)
]


def _field(name: str, one: Filter) -> tuple[object, object]:
    """Return the type and the field of a filter, with its limits."""
    about: dict[str, Any] = {"description": one.help, "examples": None if one.example is None else [one.example]}
    text = FolderName if name == "folder" else Text
    if one.is_list:
        return list[text], Field([], max_length=16, **about)  # type: ignore[valid-type]
    if one.type is bool:
        return bool, Field(False, **about)
    if one.type is float:
        return float | None, Field(None, ge=0, allow_inf_nan=False, **about)
    if one.type is int:
        return int | None, Field(None, ge=1, le=5, **about)
    return (text if one.type is str else one.type) | None, Field(None, **about)


if TYPE_CHECKING:
    _Filtered = BaseModel
else:
    _Filtered = create_model("_Filtered", **{name: _field(name, one) for name, one in FILTERS.items()})


class FilteredRequest(_Filtered):
    """The filters of a request."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_no_unknown_fields(cls, given: object) -> object:
        """Raise one error for all unknown fields; `extra` alone would raise one for each, possibly thousands."""
        if isinstance(given, dict) and (unknown := sorted(set(given) - set(cls.model_fields))):
            named = ", ".join(repr(name[:_NAME_SHOWN]) for name in unknown[:_UNKNOWN_NAMED])
            more = f" and {len(unknown) - _UNKNOWN_NAMED:,} more" if len(unknown) > _UNKNOWN_NAMED else ""
            raise PydanticCustomError("unknown_fields", "unknown field {names}", {"names": f"{named}{more}"})
        return given

    def filters(self) -> Filters:
        """Return the filters of the request. Raises UsageError."""
        return filters_of(self.model_dump())


class TimelineRequest(FilteredRequest):
    """A request for consecutive photos of the timeline."""

    start: int | None = Field(
        None, ge=1, le=2**63 - 1, description="The id of the first photo to return. Default: the newest."
    )
    k: int = Field(100, ge=1, le=MOST_HITS, description="Number of photos to return.")


class SearchRequest(FilteredRequest):
    """A search: the options of `pixsearch query`, with pictures given by id."""

    q: Operand | None = Field(None, description="Words to look for.", examples=["cherry blossoms in spring"])
    plus: Operands = Field([], description="More words, as `[WEIGHT:]WORDS`.", examples=[["0.5:sunset"]])
    minus: Operands = Field([], description="Words that should not describe the photos.", examples=[["people"]])
    like: LikeOperands = Field(
        [],
        description="Pictures that the photos should be similar to, as `[WEIGHT:]ID`, with the id of a hit or upload.",
    )
    unlike: LikeOperands = Field([], description="Pictures that the photos should not be similar to.")
    k: int = Field(10, ge=1, le=MOST_HITS, description="Number of hits to return.")
    candidates: int = Field(DEFAULT_CANDIDATES, ge=1, le=MOST_RERANKED, description="Number of photos to re-rank.")
    rerank: bool | None = Field(
        None,
        description="Rank by match, or by similarity, which is faster. Default: chosen by the model.",
    )
    threshold: float | None = Field(None, ge=0, le=1, description="Only photos with at least this score.")
    duplicates: Literal["fold", "show"] = "fold"
    shows: bool = Field(False, description="Search only by what photos show, not by their metadata.")
    says: bool = Field(False, description="Only photos whose metadata contains all the words.")
    sort: Sort = Field("relevance", description="Best matches first, or the matches by date.")
    literal: bool = Field(False, description="Search for the exact words: no negation, no suggestions.")
    offset: int = Field(0, ge=0, le=MOST_SKIPPED, description="Number of hits to skip.")

    @model_validator(mode="after")
    def _reranks_no_more_than_it_may(self) -> Self:
        if self.shows and self.says:
            raise ValueError("shows and says cannot be used together")
        words, last = self.q or self.plus or self.minus, self.offset + self.k
        if last > MOST_RERANKED and self.rerank is not False and words:
            raise ValueError(f"more than {MOST_RERANKED} hits require rerank=false")
        if last > MOST_HITS and (words or self.like or self.unlike):
            raise ValueError(f"offset and k together must be at most {MOST_HITS}")
        return self

    def query(self, upload: Callable[[str], bytes]) -> Query:
        """Return the query of the request. `upload` returns an uploaded picture by its name.

        Raises UsageError, and the errors of `upload`.
        """

        def words(operand: str, sign: float) -> Words:
            weight, text = split_weight(operand)
            return Words(text, sign * weight)

        def picture(operand: str, sign: float) -> Picture:
            weight, name = split_weight(operand)
            return Picture(int(name) if len(name) < _UPLOAD_NAME else upload(name), sign * weight)

        return Query(
            (
                *([Words(self.q)] if self.q is not None else []),
                *(picture(operand, 1.0) for operand in self.like),
                *(words(operand, 1.0) for operand in self.plus),
                *(picture(operand, -1.0) for operand in self.unlike),
                *(words(operand, -1.0) for operand in self.minus),
            ),
            filters=self.filters(),
            candidates=self.candidates,
            rerank=self.rerank,
            threshold=self.threshold,
            duplicates=self.duplicates,
            evidence="shows" if self.shows else "says" if self.says else "both",
            sort=self.sort,
            literal=self.literal,
            offset=self.offset,
        )


_UPLOAD_NAME = 64
"""The number of characters in the name of an upload. Ids are shorter."""
