"""What the API answers with, for its OpenAPI document, beside the records of `--json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, with_config

from pixsearch_cli.json_records import ExplanationRecord, HitRecord, MetadataRecord, NegationRecord

for _record in (HitRecord, NegationRecord, ExplanationRecord):
    with_config(use_attribute_docstrings=True)(_record)


class SearchAnswer(BaseModel):
    """The hits, best first."""

    hits: list[HitRecord]
    unknown_words: list[str] = Field(
        description="Words of the query that neither the model was taught nor a photo says: what they find is a guess."
    )
    suggestions: dict[str, str] = Field(description="For some of these words the nearest one that is known.")
    language: str | None = Field(description="The language of the query, where that is surely not English.")
    negations: list[NegationRecord] = Field(
        description="Words of the query that say what shall not be there, and how they are asked; see `literal`."
    )
    near: str | None = Field(description="The town that the name in `near` was taken for; null where it has none.")
    damaged: int = Field(description="Rows of the library that are damaged and were left out; see pixsearch repair.")
    uploads: list[str] = Field(description="Names of the pictures that were sent, for `like` in later searches.")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "hits": [
                    {
                        "rank": 1,
                        "id": 17,
                        "path": "/home/me/Pictures/IMG_2043.jpg",
                        "similarity": 0.433,
                        "similarity_rank": 2,
                        "match": 1.73,
                        "match_error": None,
                        "probability": 0.71,
                        "score": 0.71,
                        "certainty": "possible",
                        "likely": True,
                        "says": [],
                        "copies": [],
                        "similar": ["/home/me/Pictures/IMG_2044.jpg"],
                        "width": 4000,
                        "height": 3000,
                        "taken_at": "2021-04-03T14:05:00",
                        "date_kind": "taken",
                        "camera": "Canon EOS R6",
                        "latitude": 48.86,
                        "longitude": 2.35,
                        "title": None,
                        "caption": None,
                        "keywords": ["spring"],
                        "people": [],
                        "rating": None,
                        "location": None,
                        "place": "Paris, Île-de-France, France",
                        "writing": None,
                    }
                ],
                "unknown_words": ["bycicle"],
                "suggestions": {"bycicle": "bicycle"},
                "language": None,
                "negations": [{"text": "a street without people", "asked": "a street", "less": ["people"]}],
                "near": "Paris, Île-de-France, France (48.853, 2.349)",
                "damaged": 0,
                "uploads": [],
            }
        }
    )


class Day(BaseModel):
    """Pictures of one day; a day of many pictures comes several times, one behind the other."""

    day: str = Field(examples=["2021-03-15"])
    id: int = Field(description="Of the first picture.")
    count: int


class UndatedFolder(BaseModel):
    """Pictures without a date of one folder; as a day."""

    folder: str
    id: int
    count: int


class TimelineAnswer(BaseModel):
    """What there is, without the pictures themselves."""

    days: list[Day] = Field(description="Newest first, by the camera's own clock.")
    undated: list[UndatedFolder]
    damaged: int = Field(description="Rows of the library that are damaged and were left out; see pixsearch repair.")


class TimelinePhoto(BaseModel):
    """A picture of the timeline. Of one whose record is damaged only where it stands is known."""

    id: int
    day: str | None
    folder: str | None = Field(description="Of a picture without a date.")
    path: str | None
    width: int | None
    height: int | None
    copies: list[str]
    title: str | None
    caption: str | None
    taken_at: str | None


class TimelinePhotosAnswer(BaseModel):
    photos: list[TimelinePhoto]


class TimelineIdsAnswer(BaseModel):
    ids: list[int]


class PathsAnswer(BaseModel):
    """Where photos' files lie."""

    paths: list[str] = Field(description="One for each id that the library has, in the order of the ids.")
    unknown: int = Field(description="How many of the ids the library does not have.")


class Value(BaseModel):
    value: str
    count: int = Field(description="How many photos have it.")


class ValuesAnswer(BaseModel):
    """What photos can be filtered by."""

    person: list[Value]
    place: list[Value]
    keyword: list[Value]
    camera: list[Value]
    year: list[Value]
    folder: list[Value] = Field(description="Photos in folders below it included.")


class PhotoAnswer(MetadataRecord):
    """A picture of the library."""

    id: int
    path: str
    copies: list[str]
    format: str
    size_bytes: int
    lens: str | None
    share_decoded: float
    """Of its rows; less than 1 for a file that is cut short."""


class ExposureAnswer(BaseModel):
    """The exposure of a photo; null for what its file does not say."""

    aperture: float | None = Field(description="The f-number.", examples=[2.8])
    shutter_s: float | None = Field(examples=[0.004])
    iso: int | None = Field(examples=[100])
    focal_length_mm: float | None = Field(examples=[35.0])
    focal_length_35mm: int | None = Field(description="With the same angle of view on 35 mm film.", examples=[52])


class HealthAnswer(BaseModel):
    status: str = Field(examples=["ok"])
    version: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
