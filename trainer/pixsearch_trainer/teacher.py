"""Distil a teacher: any CLIP-like model that transformers can load, run once over a data set.

Each picture is compared with sentences that the teacher finds similar to it. Sentences drawn at random from a large
bank would describe none of the pictures in a batch, so the teacher's preferences among them would be meaningless.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import AutoModel, AutoProcessor, PreTrainedModel, ProcessorMixin  # isort: skip

from pixsearch.errors import CheckpointInvalid, DatasetError, first_line
from pixsearch.model.devices import autocast, best_device
from pixsearch.printable import plural
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.regular_files import TEXT_LIMIT_BYTES, read_regular, require_regular_files
from pixsearch_trainer.batches.draws import CaptionedSet
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.foreign_models import foreign_folder
from pixsearch_trainer.grids import embed_by_length, map_ahead
from pixsearch_trainer.losses import contrastive_loss, cosines
from pixsearch_trainer.starting_weights import quieten_hub

_PICTURES_A_BATCH = 32
_SENTENCES_A_PICTURE = 5  # as in Flickr8k and COCO, where people wrote 5 captions per picture
_FEWEST_LETTERS = 3
_SCORES_AT_ONCE = 1 << 24  # 64 MiB
_USUAL_EDGE = 512  # pixels; used if the config has no input size, and larger than that of most models
_USUAL_TOKENS = 512  # as in BERT
_USUAL_SCALE = 100.0  # the scale of CLIP after training
_WHAT_TO_GIVE = "Use a model with image and text features, such as hub:openai/clip-vit-base-patch32"


@dataclass(frozen=True)
class TeacherEmbeddings:
    """A teacher's embeddings of a data set, as unit vectors in half precision on the CPU."""

    images: Tensor
    """The embeddings of the pictures [pictures, teacher's width]."""
    texts: Tensor
    """The embeddings of the texts [texts, teacher's width]."""
    scale: float
    """The factor by which the teacher multiplies cosines before a softmax."""

    def loss(self, scale: Tensor, texts: Tensor, images: Tensor, pictures: Tensor, captions: Tensor) -> Tensor:
        """Return the contrastive loss whose targets are the teacher's softmaxes over the batch, in both directions.

        Args:
            scale: the factor by which the student multiplies cosines.
            texts, images: the student's unit vectors [batch, width].
            pictures, captions: the indices of the pairs in the data set [batch], on the CPU.
        """
        theirs = self.scale * cosines(self.texts[captions], self.images[pictures]).to(texts)
        logits = scale * cosines(texts, images)
        return contrastive_loss(logits, theirs.softmax(1), theirs.T.softmax(1))

    def nearest_texts(self, k: int) -> Tensor:
        """Return the indices of the k texts nearest to each picture, nearest first [pictures, k], on the CPU.

        If there are fewer than k texts, return all of them.
        """
        device = best_device()
        texts = self.texts.to(device).float()
        rows = max(1, _SCORES_AT_ONCE // len(texts))
        parts = (part.to(device).float() @ texts.T for part in self.images.split(rows))
        return torch.cat([scores.topk(min(k, len(texts)), dim=1).indices.cpu() for scores in parts])


class Teacher:
    """A loaded model with image and text features in a shared space, on the best available device."""

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        self._model = model.eval().requires_grad_(False).to(best_device())
        self._processor = processor
        self._reads_padding = "siglip" in model.config.model_type

    @classmethod
    def load(cls, source: str) -> Teacher:
        """Load a model and its processor. Code in the model's repository is never run.

        Args:
            source: a folder in transformers' format, or the Hub name of a model that `pixsearch model get` has
                downloaded.

        Raises:
            ModelNotFound: the model is not on this machine.
            CheckpointInvalid: files are missing or truncated, or the model does not have image and text features of the
                same width.
        """
        quieten_hub()
        folder = str(foreign_folder(source))
        try:
            require_regular_files(folder)
            model, loading = AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,  # not the precision of the weights, because not every CPU supports half precision
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
            processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = first_line(error)
            raise CheckpointInvalid(f"cannot load {source} as a teacher ({reason})", _WHAT_TO_GIVE) from error
        if missing := sorted(loading["missing_keys"]):
            raise CheckpointInvalid(
                f"{source} is missing {plural(len(missing), 'tensor')} ({missing[0]} ..)",
                "Download or copy the complete model",
            )
        teacher = cls(model, processor)
        try:
            image, text = teacher.embed_pictures([Image.new("RGB", (64, 64))]), teacher.embed_texts(["a photo"])
            if image.dim() != 2 or image.shape != text.shape:
                raise ValueError(f"image features have shape {list(image.shape)} and text features {list(text.shape)}")
        except Exception as error:  # a model that is not like CLIP may fail in any way
            raise CheckpointInvalid(
                f"{source} ({model.config.model_type}) does not have matching image and text features ({error!r})",
                _WHAT_TO_GIVE,
            ) from error
        return teacher

    @property
    def scale(self) -> float:
        """The factor for cosines before a softmax (1 / temperature); 100 if the model does not define one."""
        if (log_scale := getattr(self._model, "logit_scale", None)) is not None:
            return float(log_scale.exp())
        if (temperature := getattr(self._model, "temperature", None)) is not None:  # ALIGN and TIPSv2
            return float(1 / temperature)
        return _USUAL_SCALE

    @property
    def edge(self) -> int:
        """The shorter edge, in pixels, to which pictures can be reduced without losing detail for the teacher."""
        edge = getattr(getattr(self._model.config, "vision_config", None), "image_size", None)
        return edge if isinstance(edge, int) else _USUAL_EDGE

    @torch.no_grad()
    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Embed RGB pictures of any size in one forward pass.

        Return unit vectors [pictures, width] in float32 on the CPU.
        """
        inputs = self._processor(images=list(pictures), return_tensors="pt").to(self._model.device)
        with autocast(self._model.device):
            return _unit_vectors(self._model.get_image_features(**inputs))

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed sentences in one forward pass.

        Return unit vectors [texts, width] in float32 on the CPU. Sentences that are too long for the teacher are
        truncated.
        """
        positions = getattr(self._model.config.text_config, "max_position_embeddings", _USUAL_TOKENS)
        longest = min(self._processor.tokenizer.model_max_length, positions)
        # SigLIP was trained on sentences padded to full length without a mask. Features come from the last position.
        padding = "max_length" if self._reads_padding else "longest"
        inputs = self._processor(
            text=list(texts), padding=padding, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self._model.device)
        if self._reads_padding:
            inputs.pop("attention_mask", None)
        with autocast(self._model.device):
            return _unit_vectors(self._model.get_text_features(**inputs))


def caption_by_teacher(
    teacher: Teacher,
    pictures: Sequence[CaptionedPicture],
    texts: Path | None,
    tokenizer: Tokenizer,
    on_progress: ProgressCallback,
) -> tuple[list[CaptionedPicture], TeacherEmbeddings]:
    """Caption packed pictures that have no captions, and embed all pictures and texts with the teacher.

    The captions are the sentences from a bank (see `text_bank`) that the teacher finds nearest to the picture.

    Args:
        texts: a file with additional sentences for the bank.

    Returns:
        The pictures with captions, and the embeddings of these pictures and of the texts in their `CaptionedSet`.

    Raises:
        DatasetError: there are no pictures, or the file cannot be read.
    """
    if not pictures:
        raise DatasetError("no training pictures for the teacher", "Add pictures to the train split")
    bank = text_bank((text for picture in pictures for text in picture.captions), texts, tokenizer)
    further = {text for picture in pictures for text in (*picture.queries, *picture.labels, *picture.near_misses)}
    known = [*bank, *sorted(further.difference(bank))]
    embeddings = embed_with_teacher(teacher, pictures, known, on_progress)
    of_bank = dataclasses.replace(embeddings, texts=embeddings.texts[: len(bank)])
    nearest = of_bank.nearest_texts(_SENTENCES_A_PICTURE).tolist()
    captioned = [
        picture if picture.captions else dataclasses.replace(picture, captions=tuple(bank[index] for index in indices))
        for picture, indices in zip(pictures, nearest, strict=True)
    ]
    index_of = {text: index for index, text in enumerate(known)}
    order = torch.tensor([index_of[text] for text in CaptionedSet(captioned, seed=0).texts])
    return captioned, dataclasses.replace(embeddings, texts=embeddings.texts[order])


def embed_with_teacher(
    teacher: Teacher, pictures: Sequence[CaptionedPicture], texts: Sequence[str], on_progress: ProgressCallback
) -> TeacherEmbeddings:
    """Embed packed pictures and texts with the teacher. There must be at least one of each."""
    images: list[Tensor] = []
    with ThreadPoolExecutor() as threads:
        files = (picture.file for picture in pictures)
        decoded = map_ahead(threads, lambda file: open_packed(file, teacher.edge), files, ahead=2 * _PICTURES_A_BATCH)
        while batch := list(islice(decoded, _PICTURES_A_BATCH)):
            images += teacher.embed_pictures(batch).half()
            on_progress(Progress("encoding pictures with the teacher", len(images), len(pictures)))
    read = embed_by_length(
        texts, lambda batch: teacher.embed_texts(batch).half(), "encoding sentences with the teacher", on_progress
    )
    return TeacherEmbeddings(torch.stack(images), read, teacher.scale)


def _unit_vectors(features: object) -> Tensor:
    """Normalise features: a tensor or an object with a pooler_output, depending on the transformers version."""
    tensor = features if isinstance(features, Tensor) else features.pooler_output  # type: ignore[attr-defined]
    return F.normalize(tensor.float(), dim=-1).cpu()


def text_bank(captions: Iterable[str], file: Path | None, tokenizer: Tokenizer) -> list[str]:
    """Return sentences from which the teacher can choose captions, without duplicates.

    The captions come first, followed by the sentences in the file. If there are neither, the bank consists of prompts
    made from the vocabulary.

    Args:
        captions: the captions of pictures that have some.
        file: a file with additional sentences.

    Raises:
        DatasetError: the file cannot be read, or the vocabulary has no suitable words.
    """
    sentences = dict.fromkeys([*captions, *(read_texts(file) if file is not None else ())])
    return list(sentences) or vocabulary_prompts(tokenizer)


def read_texts(file: Path) -> list[str]:
    """Read the sentences in a UTF-8 file, one per line, skipping empty lines.

    Raises:
        DatasetError: the file cannot be read, is not UTF-8, or contains no sentences.
    """
    hint = "Use --teacher-texts with a text file that has one sentence per line"
    try:
        lines = read_regular(file, TEXT_LIMIT_BYTES).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"cannot read {file} ({error.strerror})", hint) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8 text (invalid byte at offset {error.start})", hint) from error
    sentences = [text for line in lines if (text := line.strip())]
    if not sentences:
        raise DatasetError(f"{file} contains no sentences", hint)
    return sentences


def vocabulary_prompts(tokenizer: Tokenizer) -> list[str]:
    """Return "a photo of a {word}" for each whole word in a WordPiece vocabulary, in vocabulary order.

    Only words of three or more ASCII letters are used, because most shorter entries are just the beginnings of words.

    Raises:
        DatasetError: the vocabulary has no such words.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    words = [
        word
        for word in sorted(vocabulary, key=vocabulary.__getitem__)
        if word.isascii() and word.isalpha() and len(word) >= _FEWEST_LETTERS
    ]
    if not words:
        raise DatasetError("the tokenizer's vocabulary contains no whole words", "Use --teacher-texts FILE")
    return [f"a photo of a {word}" for word in words]
