"""A classifier trained on ImageNet as a teacher of the maps (knowledge distillation; Hinton et al., 2015).

Captions name few of the things that there are, and training on them alone makes a network forget the others. So each
picture's similarity to "a photo of a CLASS" is held to how likely the classifier finds each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import torchvision  # isort: skip

from pixsearch.model.backbones import build_backbone, normalisation
from pixsearch.model.devices import autocast
from pixsearch.model.pixel_bert import EmbeddingMaps
from pixsearch.progress import Progress, ProgressCallback
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.losses import cosines
from pixsearch_trainer.starting_weights import read_classifier

PROMPTS = [
    f"a photo of a {name}" for name in torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
]
"""A sentence for each of ImageNet's 1,000 classes, in their order."""

_EDGES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
"""Width and height, in pixels, of the pictures that each was trained on."""
_PICTURES_A_BATCH = 32


@dataclass(frozen=True)
class ClassTeacher:
    """How likely each class is in each training picture."""

    probabilities: Tensor
    """[pictures, classes], rows sum to 1."""
    prompts: Tensor
    """The sentences of the classes as the text stream read them before, unit vectors [classes, width]."""
    weight: float
    """How much the loss counts beside ITC."""

    def loss(self, maps: EmbeddingMaps, images: Tensor, pictures: Tensor) -> Tensor:
        """Hold the softmax of pictures over the classes to the classifier's: cross-entropy, the mean over the batch.

        Args:
            images: unit embeddings [batch, embedding_size].
            pictures: their indices in the training set [batch].
        """
        with torch.autocast(images.device.type, enabled=False):  # in bf16 a thousand classes would be alike
            logits = maps.scale * cosines(images, maps.text(self.prompts))
        return F.cross_entropy(logits, self.probabilities[pictures.to(self.probabilities.device)].to(logits))


@torch.no_grad()
def classify(
    backbone: str,
    source: str,
    pictures: Sequence[CaptionedPicture],
    device: torch.device,
    on_progress: ProgressCallback,
) -> Tensor:
    """Return how likely each class is in each packed picture, [pictures, classes], half precision, on the CPU.

    Args:
        backbone: the kind of EfficientNet-Lite that the weights are of.
        source: a .pth file of weights with their classifier.

    Raises:
        ModelNotFound, CheckpointInvalid: see `read_classifier`.
        DatasetError: the pack is damaged.
    """
    cnn, classifier = build_backbone(backbone), read_classifier(backbone, source)
    cnn.load_state_dict(classifier.cnn)
    cnn.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weight, bias = classifier.weight.to(device), classifier.bias.to(device)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in normalisation(backbone))
    edge = _EDGES[backbone]

    def load(picture: CaptionedPicture) -> Tensor:
        resized = open_packed(picture.file, edge).resize((edge, edge), Image.Resampling.BICUBIC)
        return (torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255 - mean) / std

    parts = []
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(pictures), _PICTURES_A_BATCH):
            pixels = torch.stack(list(threads.map(load, pictures[start : start + _PICTURES_A_BATCH]))).to(device)
            with autocast(device):
                features = cnn(pixels.contiguous(memory_format=torch.channels_last)).mean((2, 3))
            parts.append((features.float() @ weight.T + bias).softmax(1).half().cpu())
            on_progress(Progress("classifying pictures", start + len(pixels), len(pictures)))
    return torch.cat(parts)
