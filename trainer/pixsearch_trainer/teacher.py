"""A teacher: any CLIP-like model that transformers can load, asked once for its embeddings of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import AutoModel, AutoProcessor, PreTrainedModel, ProcessorMixin  # isort: skip

from pixsearch.errors import CheckpointInvalid, DatasetError, ModelNotFound
from pixsearch.model.devices import autocast, best_device
from pixsearch.progress import Progress, ProgressCallback
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings, nearest_texts
from pixsearch_trainer.starting_weights import quieten_hub
from pixsearch_trainer.teacher_texts import text_bank

_PICTURES_A_BATCH = 32
_TEXTS_A_BATCH = 256
_SENTENCES_A_PICTURE = 5  # as many as people wrote for each in Flickr8k and COCO
_USUAL_EDGE = 512  # pixels; where a model does not say what it sees, more than most do
_USUAL_TOKENS = 512  # BERT's
_USUAL_SCALE = 100.0  # where CLIP's own training ends
_WHAT_TO_GIVE = "Use a model with image and text features, such as openai/clip-vit-base-patch32, or its folder"


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
            source: a name on the hub, which is downloaded once, or a folder in transformers' format.

        Raises:
            ModelNotFound: there is no such folder, and the hub does not provide a model of that name.
            CheckpointInvalid: files are missing or cut, or the model has no image and text features of one width.
        """
        quieten_hub()
        try:
            model, loading = AutoModel.from_pretrained(
                source,
                dtype=torch.float32,  # not the weights' own: half precision is not for every CPU
                trust_remote_code=False,
                output_loading_info=True,
            )
            processor = AutoProcessor.from_pretrained(source, trust_remote_code=False)
        except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            if isinstance(error, OSError) and not Path(source).exists():
                raise ModelNotFound(f"no teacher {source!r} ({reason})", _WHAT_TO_GIVE) from error
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
        """What the teacher multiplies cosines by before a softmax (1 / temperature); 100 where it does not say."""
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
        The pictures, and embeddings in the order of these pictures and of `Captions.of` them.

    Raises:
        DatasetError: there is no picture, or the file cannot be read.
    """
    if not pictures:
        raise DatasetError("no picture to ask the teacher about", "Provide some in the split train")
    bank = text_bank((text for picture in pictures for text in picture.captions), texts, tokenizer)
    embeddings = embed_with_teacher(teacher, pictures, bank, on_progress)
    nearest = nearest_texts(embeddings, _SENTENCES_A_PICTURE).tolist()
    captioned = [
        picture if picture.captions else dataclasses.replace(picture, captions=tuple(bank[place] for place in places))
        for picture, places in zip(pictures, nearest, strict=True)
    ]
    place_of = {sentence: place for place, sentence in enumerate(bank)}
    order = torch.tensor([place_of[sentence] for sentence in Captions.of(captioned).sentences])
    return captioned, dataclasses.replace(embeddings, texts=embeddings.texts[order])


def embed_with_teacher(
    teacher: Teacher, pictures: Sequence[CaptionedPicture], texts: Sequence[str], on_progress: ProgressCallback
) -> TeacherEmbeddings:
    """Return the teacher's embeddings of all packed pictures and of all texts, one or more of each."""
    images = []
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(pictures), _PICTURES_A_BATCH):
            batch = pictures[start : start + _PICTURES_A_BATCH]
            decoded = list(threads.map(lambda picture: open_packed(picture.file, teacher.edge), batch))
            images.append(teacher.embed_pictures(decoded).half())
            on_progress(Progress("teacher sees pictures", start + len(batch), len(pictures)))
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # so that a batch has little padding
    read = []
    for start in range(0, len(texts), _TEXTS_A_BATCH):
        places = order[start : start + _TEXTS_A_BATCH]
        read.append(teacher.embed_texts([texts[place] for place in places]).half())
        on_progress(Progress("teacher reads sentences", start + len(places), len(texts)))
    in_order = torch.argsort(torch.tensor(order))
    return TeacherEmbeddings(torch.cat(images), torch.cat(read)[in_order], teacher.scale)


def _unit_vectors(features: object) -> Tensor:
    """Of a model's features, which transformers gives as a tensor or as an output's pooler_output, by its version."""
    tensor = features if isinstance(features, Tensor) else features.pooler_output  # type: ignore[attr-defined]
    return F.normalize(tensor.float(), dim=-1).cpu()
