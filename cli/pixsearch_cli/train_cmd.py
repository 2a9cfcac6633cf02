"""`pixsearch train`: fine-tune Pixel-BERT for retrieval, train the built-in checkpoint, or reproduce the paper."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from pixsearch.extras import require
from pixsearch.progress import silent
from pixsearch.storage import to_path
from pixsearch_cli.options import CheckpointOption, LibraryOption, MaxBadOption
from pixsearch_cli.output import progress_bars, show_message, warn_of_problems


def train(
    context: typer.Context,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Pictures and captions: Karpathy, COCO or Visual Genome JSON, CSV, TSV, JSON lines, a folder with "
            "name.txt next to name.jpg, or a pack. Repeatable; each may have a val split.",
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="Folder with the pictures for --data. [default: the folder of the data file]"),
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(metavar="W", help="Relative sampling weight for each --data. [default: 1]")
    ] = None,
    library: LibraryOption = None,
    max_bad: MaxBadOption = None,
    recipe: Annotated[
        Literal["finetune", "shipped", "paper"] | None,
        typer.Option(help="Training recipe; see the guide. [default: finetune]"),
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Run only this stage of the recipe; repeatable.")
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE.FIELD=VALUE", help="Override a setting of a stage, e.g. maps.epochs=30."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="M", help="Choose the number of steps so that training takes M minutes."),
    ] = None,
    model: CheckpointOption = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="CLIP-like model to learn from, including on photos without captions."),
    ] = None,
    teacher_texts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sentences for photos without captions, one per line.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Output folder. [default: my-photos in your model folder]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the unfinished run in --out.")] = False,
    pack: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only pack the data into one file, for training elsewhere.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the data, run one step of each stage, and write nothing.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Number of decoding processes. [default: one per core, at most 8]")
    ] = None,
    precision: Annotated[
        Literal["no", "bf16"] | None,
        typer.Option(help="Number format; 'no' is fp32. [default: bf16 if the hardware supports it]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. [default: 0]")] = None,
) -> None:
    """Train Pixel-BERT on captioned pictures. It uses a GPU if there is one, and several if started with torchrun.

    Without --data, it trains on the captioned photos in the library: photos with a .txt file next to them, or with a
    title or caption in their metadata.

    For example: pixsearch train --data dataset.json --images pictures --out my-model
    """
    require("pixsearch train", "train", "accelerate", "torch", "torchvision", "transformers")
    from pixsearch.model.checkpoints import CONFIG_FILE
    from pixsearch_trainer.options import TrainOptions
    from pixsearch_trainer.run.accelerator import is_main_process
    from pixsearch_trainer.train import Listener, train

    asked = {
        "data": _absolute(data),
        "images": _absolute(images),
        "weight": tuple(weight or ()) or None,
        "library": library,
        "max_bad": max_bad,
        "recipe": recipe,
        "stage": tuple(stage or ()) or None,
        "set": tuple(set or ()) or None,
        "minutes": minutes,
        "model": str(Path(model).absolute()) if model and (Path(model) / CONFIG_FILE).exists() else model,
        "teacher": str(Path(teacher).absolute()) if teacher and Path(teacher).exists() else teacher,
        "teacher_texts": teacher_texts and str(teacher_texts.absolute()),
        "out": out and str(out),
        "pack": pack and str(pack),
        "workers": workers,
        "precision": precision,
        "seed": seed,
        "resume": resume,
        "dry_run": dry_run,
    }
    # Settings from the environment and the config file do not conflict with --data or with the run to resume.
    sources = {name: context.get_parameter_source(name) for name in (asked if resume else ("library",) if data else ())}
    asked |= {name: None for name, source in sources.items() if source is None or source.name != "COMMANDLINE"}
    options = TrainOptions(**{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]
    with progress_bars() if is_main_process() else nullcontext(silent) as show:
        report = train(options, Listener(show_message, show, warn_of_problems))
    if not is_main_process():
        return
    pairs = f"{report.pictures:,} pictures, {report.captions:,} caption{'s' * (report.captions != 1)}"
    if pack is not None:
        print(f"{pack}: {pairs}")
    elif dry_run:
        print(f"dry run: {pairs}; finished in {60 * report.minutes:.0f} s; nothing was written")
    else:
        print(f"{report.out}: {pairs}, {report.minutes:.0f} minutes")
        if report.task == "retrieval":
            print(f"To search with this model, run: pixsearch index --model {report.out} FOLDER")


def _absolute(names: list[str] | None) -> tuple[str, ...] | None:
    """Return absolute paths, which stay valid if the run is resumed from a different folder."""
    return tuple(str(to_path(name).absolute()) for name in names) if names else None
