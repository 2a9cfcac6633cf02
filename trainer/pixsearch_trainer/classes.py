"""Distil an ImageNet classifier into the maps (Hinton et al., 2015).

Captions mention only some kinds of objects, and a network trained only on captions forgets all others. Therefore, the
similarities of each picture to "a photo of a CLASS" are trained to match the classifier's probabilities.
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
"""A sentence for each of ImageNet's 1,000 classes, in order."""

_EDGES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
"""The width and height, in pixels, of the pictures on which each backbone was trained."""
_PICTURES_A_BATCH = 32


@dataclass(frozen=True)
class ClassTeacher:
    """The classifier's class probabilities for each training picture, and the loss for learning them."""

    probabilities: Tensor
    """The probabilities [pictures, classes]; rows sum to 1."""
    prompts: Tensor
    """The sentences for the classes as unit vectors [classes, width], encoded by the text stream before training."""
    weight: float
    """The weight of the loss relative to ITC."""

    def loss(self, maps: EmbeddingMaps, images: Tensor, pictures: Tensor) -> Tensor:
        """Return the cross-entropy between the classifier's probabilities and the network's, averaged over the batch.

        Args:
            images: the unit embeddings of pictures [batch, embedding_size].
            pictures: the indices of the pictures in the training set [batch].
        """
        with torch.autocast(images.device.type, enabled=False):  # bf16 is too coarse to tell a thousand classes apart
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
    """Classify packed pictures. Return probabilities [pictures, classes] in half precision on the CPU.

    Args:
        backbone: the name of an EfficientNet-Lite.
        source: a .pth file with the weights of the backbone and the classifier.

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
