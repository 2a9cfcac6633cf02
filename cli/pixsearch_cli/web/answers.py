"""The API's responses, for its OpenAPI document. The records that `--json` also prints are in `json_records`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, with_config

from pixsearch_cli.json_records import ExplanationRecord, HitRecord, MetadataRecord, NegationRecord

for _record in (HitRecord, NegationRecord, ExplanationRecord):
    with_config(use_attribute_docstrings=True)(_record)


class SearchAnswer(BaseModel):
    """The results of a search, best first."""

    hits: list[HitRecord]
    unknown_words: list[str] = Field(
        description="Query words that the model does not know and no photo's text contains. Hits for them are a guess."
    )
    suggestions: dict[str, str] = Field(description="The most similar known word for some of the unknown words.")
    language: str | None = Field(description="The language of the query if it is clearly not English.")
    negations: list[NegationRecord] = Field(
        description="The parts of the query that exclude something, and how they are searched; see `literal`."
    )
    near: str | None = Field(description="The town found for the name in `near`; null if `near` has no name.")
    damaged: int = Field(description="The number of damaged rows that were left out; see pixsearch repair.")
    uploads: list[str] = Field(description="Names of the uploaded pictures, for `like` in later searches.")

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
    """Pictures of one day. A day with many pictures has several consecutive entries."""

    day: str = Field(examples=["2021-03-15"])
    id: int = Field(description="The id of the first picture.")
    count: int


class UndatedFolder(BaseModel):
    """Pictures without a date in one folder. A folder with many has several consecutive entries."""

    folder: str
    id: int
    count: int


class TimelineAnswer(BaseModel):
    """The timeline, without the pictures themselves."""

    days: list[Day] = Field(description="The days, newest first, by the camera's clock.")
    undated: list[UndatedFolder]
    damaged: int = Field(description="The number of damaged rows that were left out; see pixsearch repair.")


class TimelinePhoto(BaseModel):
    """A picture in the timeline. If its record is damaged, only its position is known."""

    id: int
    day: str | None
    folder: str | None = Field(description="The folder of a picture without a date.")
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
    """The paths of photos."""

    paths: list[str] = Field(description="One path for each id in the library, in the order of the ids.")
    unknown: int = Field(description="The number of ids that are not in the library.")


class Value(BaseModel):
    value: str
    count: int = Field(description="The number of photos with this value.")


class ValuesAnswer(BaseModel):
    """The values that photos can be filtered by."""

    person: list[Value]
    place: list[Value]
    keyword: list[Value]
    camera: list[Value]
    year: list[Value]
    folder: list[Value] = Field(description="The counts include photos in subfolders.")


class PhotoAnswer(MetadataRecord):
    """A picture in the library."""

    id: int
    path: str
    copies: list[str]
    format: str
    size_bytes: int
    lens: str | None
    share_decoded: float
    """The share of its rows that could be decoded; less than 1 for a truncated file."""


class ExposureAnswer(BaseModel):
    """The exposure of a photo. Fields that the file does not contain are null."""

    aperture: float | None = Field(description="The f-number.", examples=[2.8])
    shutter_s: float | None = Field(examples=[0.004])
    iso: int | None = Field(examples=[100])
    focal_length_mm: float | None = Field(examples=[35.0])
    focal_length_35mm: int | None = Field(
        description="The focal length with the same angle of view on 35 mm film.", examples=[52]
    )


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
