"""Distillation from a teacher: any CLIP-like model that transformers can load, run once over a data set.

A picture is contrasted with sentences that the teacher finds near it. Sentences drawn at random from a large bank would
describe none of the pictures of a batch, and the teacher's preferences among them would mean nothing.
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
_SENTENCES_A_PICTURE = 5  # as many as people wrote for each in Flickr8k and COCO
_FEWEST_LETTERS = 3
_SCORES_AT_ONCE = 1 << 24  # 64 MiB
_USUAL_EDGE = 512  # pixels; where a model does not say what it sees, more than most do
_USUAL_TOKENS = 512  # BERT's
_USUAL_SCALE = 100.0  # where CLIP's own training ends
_WHAT_TO_GIVE = "Use a model with image and text features, such as hub:openai/clip-vit-base-patch32, or its folder"


@dataclass(frozen=True)
class TeacherEmbeddings:
    """A teacher's embeddings of a data set: unit vectors in half precision, on the CPU."""

    images: Tensor
    """[pictures, teacher's width]."""
    texts: Tensor
    """[texts, teacher's width]."""
    scale: float
    """The teacher's own factor of cosines before a softmax."""

    def loss(self, scale: Tensor, texts: Tensor, images: Tensor, pictures: Tensor, captions: Tensor) -> Tensor:
        """Pull each text towards the pictures that the teacher finds for it, as far as the teacher does, and away from
        the rest of the batch; and each picture towards its texts likewise (`contrastive_loss`).

        Args:
            scale: the student's factor of cosines.
            texts, images: the student's unit vectors [batch, width].
            pictures, captions: their indices in the data set [batch], on the CPU.
        """
        theirs = self.scale * cosines(self.texts[captions], self.images[pictures]).to(texts)
        logits = scale * cosines(texts, images)
        return contrastive_loss(logits, theirs.softmax(1), theirs.T.softmax(1))

    def nearest_texts(self, k: int) -> Tensor:
        """Return the indices of the k texts nearest to each picture, nearest first: [pictures, k] on the CPU; fewer
        columns where there are fewer texts.
        """
        device = best_device()
        texts = self.texts.to(device).float()
        rows = max(1, _SCORES_AT_ONCE // len(texts))
        parts = (part.to(device).float() @ texts.T for part in self.images.split(rows))
        return torch.cat([scores.topk(min(k, len(texts)), dim=1).indices.cpu() for scores in parts])


class Teacher:
    """A loaded model with image and text features in one space, on the best device."""

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        self._model = model.eval().requires_grad_(False).to(best_device())
        self._processor = processor
        self._reads_padding = "siglip" in model.config.model_type

    @classmethod
    def load(cls, source: str) -> Teacher:
        """Load a model and its processor. Code in a hub repository is never run.

        Args:
            source: a folder in transformers' format, or a name on the hub once `pixsearch model get` has downloaded it.

        Raises:
            ModelNotFound: it is not on this machine.
            CheckpointInvalid: files are missing or cut, or the model has no image and text features of one width.
        """
        quieten_hub()
        folder = str(foreign_folder(source))
        try:
            require_regular_files(folder)
            model, loading = AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,  # not the weights' own: half precision is not for every CPU
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
                f"{source} lacks {len(missing)} of its weights ({missing[0]} ..)", "Download or copy the whole model"
            )
        teacher = cls(model, processor)
        try:
            image, text = teacher.embed_pictures([Image.new("RGB", (64, 64))]), teacher.embed_texts(["a photo"])
            if image.dim() != 2 or image.shape != text.shape:
                raise ValueError(f"a picture has shape {list(image.shape)} and a text {list(text.shape)}")
        except Exception as error:  # a model that is not like CLIP may fail in any way here
            raise CheckpointInvalid(
                f"{source}, a {model.config.model_type}, has no image and text features of one shape ({error!r})",
                _WHAT_TO_GIVE,
            ) from error
        return teacher

    @property
    def scale(self) -> float:
        """The factor of cosines before a softmax (1 / temperature); 100 where the teacher does not say."""
        if (log_scale := getattr(self._model, "logit_scale", None)) is not None:
            return float(log_scale.exp())
        if (temperature := getattr(self._model, "temperature", None)) is not None:  # ALIGN and TIPSv2
            return float(1 / temperature)
        return _USUAL_SCALE

    @property
    def edge(self) -> int:
        """Shorter edge in pixels from which on a picture loses nothing that the teacher would see."""
        edge = getattr(getattr(self._model.config, "vision_config", None), "image_size", None)
        return edge if isinstance(edge, int) else _USUAL_EDGE

    @torch.no_grad()
    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """RGB pictures of any size, in one forward -> unit vectors [pictures, width], float32, on the CPU."""
        inputs = self._processor(images=list(pictures), return_tensors="pt").to(self._model.device)
        with autocast(self._model.device):
            return _unit_vectors(self._model.get_image_features(**inputs))

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Sentences, in one forward -> unit vectors [texts, width], float32, on the CPU.

        A sentence longer than the teacher reads is cut.
        """
        positions = getattr(self._model.config.text_config, "max_position_embeddings", _USUAL_TOKENS)
        longest = min(self._processor.tokenizer.model_max_length, positions)
        # SigLIP was trained on sentences padded to the full length without a mask, and answers from the last position.
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
    """Give captions to packed pictures that have none, and embed all of them: the sentences of a bank (see `text_bank`)
    that the teacher finds nearest.

    Args:
        texts: a file with more sentences for the bank.

    Returns:
        The pictures, and embeddings in the order of these pictures and of the texts of a `CaptionedSet` of them.

    Raises:
        DatasetError: there is no picture, or the file cannot be read.
    """
    if not pictures:
        raise DatasetError("there is no picture for the teacher to see", "Provide some in the split train")
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
    """Return the teacher's embeddings of all packed pictures and of all texts, one or more of each."""
    images: list[Tensor] = []
    with ThreadPoolExecutor() as threads:
        files = (picture.file for picture in pictures)
        decoded = map_ahead(threads, lambda file: open_packed(file, teacher.edge), files, ahead=2 * _PICTURES_A_BATCH)
        while batch := list(islice(decoded, _PICTURES_A_BATCH)):
            images += teacher.embed_pictures(batch).half()
            on_progress(Progress("teacher sees pictures", len(images), len(pictures)))
    read = embed_by_length(
        texts, lambda batch: teacher.embed_texts(batch).half(), "teacher reads sentences", on_progress
    )
    return TeacherEmbeddings(torch.stack(images), read, teacher.scale)


def _unit_vectors(features: object) -> Tensor:
    """Normalise a model's features; by its version transformers gives a tensor or an output with a pooler_output."""
    tensor = features if isinstance(features, Tensor) else features.pooler_output  # type: ignore[attr-defined]
    return F.normalize(tensor.float(), dim=-1).cpu()


def text_bank(captions: Iterable[str], file: Path | None, tokenizer: Tokenizer) -> list[str]:
    """Return the captions of the other data, then the sentences of `file`, none twice; prompts of the vocabulary where
    there are neither.

    Raises:
        DatasetError: the file cannot be read, or there are no words to make prompts from.
    """
    sentences = dict.fromkeys([*captions, *(read_texts(file) if file is not None else ())])
    return list(sentences) or vocabulary_prompts(tokenizer)


def read_texts(file: Path) -> list[str]:
    """Read the sentences of a UTF-8 file, one a line, in its order, without empty lines.

    Raises:
        DatasetError: the file cannot be read, is not UTF-8, or holds no sentence.
    """
    hint = "Provide a text file with one sentence a line as --teacher-texts"
    try:
        lines = read_regular(file, TEXT_LIMIT_BYTES).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"cannot read {file} ({error.strerror})", hint) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8 text (byte {error.start})", hint) from error
    sentences = [text for line in lines if (text := line.strip())]
    if not sentences:
        raise DatasetError(f"{file} holds no sentence", hint)
    return sentences


def vocabulary_prompts(tokenizer: Tokenizer) -> list[str]:
    """Return "a photo of a {word}" for each whole word of a WordPiece vocabulary, in its order.

    A word has three letters or more, all ASCII: shorter ones can hardly be told from beginnings of words.

    Raises:
        DatasetError: there is no such word.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    words = [
        word
        for word in sorted(vocabulary, key=vocabulary.__getitem__)
        if word.isascii() and word.isalpha() and len(word) >= _FEWEST_LETTERS
    ]
    if not words:
        raise DatasetError("the tokenizer has no whole words to make prompts from", "Use --teacher-texts")
    return [f"a photo of a {word}" for word in words]
