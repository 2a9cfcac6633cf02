"""The exceptions raised by pixsearch, with messages for the user.

PixsearchError              exit code 1: the command failed
├── UsageError              exit code 2: the request is invalid (empty query, impossible option)
├── LibraryError
│   ├── LibraryNotFound     nothing has been indexed there yet
│   ├── LibraryBusy         another process is using the library
│   └── LibraryDamaged      the library is damaged, or was written by a newer pixsearch
├── ModelError
│   ├── ModelNotFound       there is no checkpoint with this name or in this folder
│   ├── CheckpointInvalid   files are missing, truncated or inconsistent with the config
│   ├── ModelMismatch       the library was indexed with a different model
│   ├── WordsNotLocated     the model cannot show where words are in a picture
│   └── HubError            the model cannot be downloaded from the Hugging Face Hub
├── Interrupted             exit code 130: stopped by the user; finished work is kept
├── PictureError            a file is not a readable picture; recorded, but the run continues
└── DatasetError            training data is missing or not in the expected format
"""

from __future__ import annotations


class PixsearchError(Exception):
    """An error with a message that describes the problem and an optional hint that suggests the next step.

    `str(error)` contains both on one line.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(PixsearchError):
    """The request is invalid."""

    exit_code = 2


class LibraryError(PixsearchError):
    """A library cannot be used as requested."""


class LibraryNotFound(LibraryError):
    """The library does not exist or is empty."""


class LibraryBusy(LibraryError):
    """Another process is using the library."""


class LibraryDamaged(LibraryError):
    """The library is damaged, or was written by a newer version of pixsearch."""


class ModelError(PixsearchError):
    """A checkpoint cannot be used as requested."""


class ModelNotFound(ModelError):
    """There is no checkpoint with this name or in this folder."""


class CheckpointInvalid(ModelError):
    """A checkpoint's files are missing, truncated or inconsistent with its config."""


class ModelMismatch(ModelError):
    """The library was indexed with a different model."""


class WordsNotLocated(ModelError):
    """A model without late interaction cannot show where words are in a picture."""


class HubError(ModelError):
    """A model cannot be downloaded from the Hugging Face Hub."""


class Interrupted(PixsearchError):
    """The user stopped a long-running operation. Its progress was saved, so it can be resumed."""

    exit_code = 130


class PictureError(PixsearchError):
    """A file is not a readable picture."""


class DatasetError(PixsearchError):
    """Training data is missing or not in the expected format."""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its repr if the message is empty."""
    return (str(error).strip() or repr(error)).splitlines()[0]
