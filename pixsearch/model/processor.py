"""Prepares the input of a Pixel-BERT: pictures at the input size of the CNN, and sentences as WordPiece ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Encoding, Tokenizer

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import CONFIG_FILE, TOKENIZER_FILE
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.words import read_words, write_words
from pixsearch.pictures import as_seen
from pixsearch.regular_files import TEXT_LIMIT_BYTES, read_regular

_MOST_CHARACTERS = 128
"""The maximum number of characters read per token. WordPiece treats words of more than 100 characters as unknown."""
_COPY = "Copy the whole checkpoint again"


class PixelBertProcessor:
    """Prepares pictures and sentences according to a config's input size, resize mode and number of words."""

    def __init__(
        self, config: PixelBertConfig, tokenizer: Tokenizer, words_taught: Mapping[str, int] | None = None
    ) -> None:
        """Set up the tokenizer. `words_taught` contains the count of each word in the training captions, if known."""
        self.config = config
        self.words_taught = words_taught
        self.tokenizer = tokenizer
        self.tokenizer.enable_truncation(config.max_words)
        self.tokenizer.enable_padding()

    def resize(self, picture: Image.Image) -> Image.Image:
        """Return an RGB picture scaled to the input size of the CNN."""
        return as_seen(picture, self.config.input_shape)

    def words(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the ids and mask [batch, words] of sentences, padded to the longest; the mask is False for padding."""
        encodings = self.encodings(sentences)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.bool_)
        return ids, mask

    def readable(self, sentence: str) -> str:
        """Return the beginning of a sentence, which includes everything that the model can read."""
        return sentence[: self.config.max_words * _MOST_CHARACTERS]

    def encodings(self, sentences: Sequence[str]) -> list[Encoding]:
        """Return the tokens of sentences, padded to the longest. Raises CheckpointInvalid if the tokenizer fails."""
        try:
            encodings = self.tokenizer.encode_batch([self.readable(sentence) for sentence in sentences])
        except Exception as error:  # tokenizers raises bare Exception for every kind of failure
            raise CheckpointInvalid(
                f"the checkpoint's {TOKENIZER_FILE} cannot split text into tokens ({error})", _COPY
            ) from error
        for encoding in encodings:
            if not encoding.ids or max(encoding.ids) >= self.config.vocabulary_size:
                raise CheckpointInvalid(f"the checkpoint's {TOKENIZER_FILE} does not match its weights", _COPY)
        return encodings

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json, tokenizer.json and, if words were counted, words.txt to an existing folder."""
        self.config.save(folder / CONFIG_FILE)
        write_durably(folder / TOKENIZER_FILE, self.tokenizer.to_str().encode())
        if self.words_taught:
            write_words(folder, self.words_taught)

    @classmethod
    def from_pretrained(cls, folder: Path) -> PixelBertProcessor:
        """Load a processor from the files that `save_pretrained` writes.

        Raises:
            CheckpointInvalid: a file is missing or not valid.
        """
        file = folder / TOKENIZER_FILE
        try:
            tokenizer = Tokenizer.from_buffer(read_regular(file, TEXT_LIMIT_BYTES))
        except Exception as error:  # tokenizers raises bare Exception for every kind of failure
            reason = getattr(error, "strerror", None) or error
            raise CheckpointInvalid(f"{file} is not a valid tokenizer ({reason})", _COPY) from error
        return cls(PixelBertConfig.load(folder / CONFIG_FILE), tokenizer, read_words(folder))
