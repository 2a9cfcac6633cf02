"""What can go wrong, in words for the person who asked.

PixsearchError              exit code 1: could not
├── UsageError              exit code 2: the question itself is wrong (empty query, impossible option)
├── LibraryError
│   ├── LibraryNotFound     nothing was indexed there yet
│   ├── LibraryBusy         another process is writing
│   └── LibraryDamaged      library.db is not a sound pixsearch library, or of a newer pixsearch
├── ModelError
│   ├── ModelNotFound       no checkpoint of that name or in that folder
│   ├── CheckpointInvalid   files missing, cut, or not what the config says
│   ├── ModelMismatch       the library was indexed by another model
│   ├── WordsNotLocated     it cannot show where in a picture words are
│   └── HubError            the Hugging Face hub cannot provide a model
├── Interrupted             exit code 130: somebody stopped it; what was done is kept
├── PictureError            one file is no picture that can be read; recorded, never fatal to a run
└── DatasetError            training data missing or not in the expected format
"""

from __future__ import annotations


class PixsearchError(Exception):
    """An error with a message for people: what happened, and a hint that says what to do next.

    `str(error)` is both in one line.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(PixsearchError):
    """The question itself is wrong."""

    exit_code = 2


class LibraryError(PixsearchError):
    """The library on disk cannot be used as asked."""


class LibraryNotFound(LibraryError):
    """Nothing was indexed there yet."""


class LibraryBusy(LibraryError):
    """Another process is writing to the library."""


class LibraryDamaged(LibraryError):
    """library.db is not a sound pixsearch library, or was written by a newer pixsearch."""


class ModelError(PixsearchError):
    """A checkpoint cannot be used as asked."""


class ModelNotFound(ModelError):
    """There is no checkpoint of that name or in that folder."""


class CheckpointInvalid(ModelError):
    """A checkpoint's files are missing, cut, or not what its config says."""


class ModelMismatch(ModelError):
    """The library was indexed by another model."""


class WordsNotLocated(ModelError):
    """A model without late interaction cannot show where in a picture words are."""


class HubError(ModelError):
    """The Hugging Face hub cannot provide a model."""


class Interrupted(PixsearchError):
    """Long work was stopped, with what it had done saved; it can be gone on with."""

    exit_code = 130


class PictureError(PixsearchError):
    """One file is no picture that can be read."""


class DatasetError(PixsearchError):
    """Training data is missing or not in the expected format."""


def first_line(error: BaseException) -> str:
    """Return the first line of what another library's error says, or what the error is where it says nothing."""
    return (str(error).strip() or repr(error)).splitlines()[0]
