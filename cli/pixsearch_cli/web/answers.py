"""What the API answers with, for its OpenAPI document. The records themselves are those of `--json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PictureFacts(BaseModel):
    """What a picture's file says about it."""

    width: int
    height: int
    taken_at: str | None = Field(examples=["2021-04-03T14:05:00"])
    date_kind: str | None = Field(description="taken, edited or guessed: what taken_at is the time of.")
    camera: str | None
    latitude: float | None
    longitude: float | None
    title: str | None
    caption: str | None
    keywords: list[str]
    people: list[str]
    rating: int | None
    location: str | None


class HitAnswer(PictureFacts):
    """A picture that was found: what `pixsearch query --json` prints."""

    rank: int
    id: int = Field(description="Shared by the picture's copies, never given to another.")
    path: str
    similarity: float = Field(description="Cosine of the embeddings of query and picture.")
    similarity_rank: int
    match: float | None = Field(description="ITM logit; null where the joint stream did not read the pair.")
    probability: float | None = Field(
        description="That a person would say that the photo shows what was asked; null without a calibration."
    )
    likely: bool | None = Field(description="Whether that is 0.5 or more. Hits that are not likely come last.")
    copies: list[str]
    similar: list[str]


class SearchAnswer(BaseModel):
    """The hits, best first."""

    hits: list[HitAnswer]
    unknown_words: list[str] = Field(description="Words of the query that the model was never taught.")
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
                        "probability": 0.71,
                        "likely": True,
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
                    }
                ],
                "unknown_words": [],
                "damaged": 0,
                "uploads": [],
            }
        }
    )


class PhotoAnswer(PictureFacts):
    """A picture of the library."""

    id: int
    path: str
    copies: list[str]
    format: str = Field(examples=["JPEG"])
    size_bytes: int
    lens: str | None
    share_decoded: float = Field(description="Of its rows; less than 1 for a file that is cut short.")


class ExplanationAnswer(BaseModel):
    """Where in a picture each word is looked for: what `pixsearch explain --json` prints."""

    match: float
    probability: float | None
    words: list[str]
    attention: list[list[list[float]]] = Field(description="For each word rows of the pixel grid.")


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
