"""`pixsearch model`: list, show, remove and download models. Only this command downloads models."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from pixsearch.errors import CheckpointInvalid, LibraryNotFound, PictureError, PixsearchError, UsageError
from pixsearch.extras import require
from pixsearch.printable import printable
from pixsearch.settings import library_location
from pixsearch_cli.command import Command
from pixsearch_cli.options import JsonOption, LibraryOption
from pixsearch_cli.output import confirmed, print_json, print_table, progress_bars, show_lines, show_message
from pixsearch_cli.status_cmd import size

if TYPE_CHECKING:
    from pixsearch.model.hub_repository import Hub, Repository
    from pixsearch.model.installed_models import Abilities, InstalledModel

Kind: TypeAlias = Literal["search", "re-rank", "train"]
"""The purpose of a download."""

_MOST_LANGUAGES = 3
_NAMED = "hub:organisation/model, a name in your model folder, or a checkpoint folder."

app = typer.Typer(
    name="model",
    help="List, download and remove models.\n\nFor example: pixsearch model get hub:google/siglip2-base-patch16-256",
    rich_markup_mode=None,
)

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")]


@app.command("get", cls=Command)
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name on the Hugging Face Hub: organisation/model.")],
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="A branch, tag or commit. [default: the latest]")
    ] = None,
    language_model: Annotated[
        bool,
        typer.Option(
            "--language-model", help="Download a BERT model to start training from, not a model to search with."
        ),
    ] = False,
    yes: YesOption = False,
) -> None:
    """Download a model from the Hugging Face Hub, after showing its size and licence, and convert it for searching.

    An interrupted download resumes where it stopped. HF_TOKEN is sent if it is set. HF_ENDPOINT sets a different
    server.

    For example: pixsearch model get hub:google/siglip2-base-patch16-256
    """
    require("pixsearch model get", "hub", "httpx2", "openvino", "torch", "torchvision", "transformers")
    from pixsearch.model.checkpoints import hub_folder
    from pixsearch.model.hub_download import download, missing_bytes, require_room
    from pixsearch.model.hub_repository import Hub, hub_name

    name = hub_name(name)
    if _is_there(name, revision):
        show_message(f"{name} is already on this machine")
        return
    with Hub() as hub:
        repository = hub.repository(name, revision)
        kind = _kind(hub, repository, language_model)
        require_room(repository)
        missing = missing_bytes(repository)
        left = f", {size(missing)} left to download" if missing < repository.size_bytes else ""
        show_lines(
            f"model     {name} (revision {repository.commit[:12]})",
            f"licence   {repository.licence or 'not stated'}",
            f"size      {size(repository.size_bytes)} in {len(repository.files)} files{left}",
            f"folder    {hub_folder(name)}",
        )
        if not yes and not confirmed("Download it?"):
            show_message("nothing was downloaded")
            raise typer.Exit(1)
        with progress_bars() as show:
            folder = download(hub, repository, _FINISH[kind], show)
    print(f"{folder}: {name}")
    print(_USE[kind].format(name=name))


def _is_there(name: str, revision: str | None) -> bool:
    """Return whether the model is already on this machine. Raises UsageError if only a different revision is."""
    from pixsearch.model.checkpoints import CONFIG_FILE, hub_folder
    from pixsearch.model.hub_source import HubSource

    folder = hub_folder(name)
    if not (folder / CONFIG_FILE).is_file():
        return False
    source = HubSource.load(folder)
    if revision is None or (source is not None and source.revision.startswith(revision)):
        return True
    there = "an unknown revision" if source is None else f"the revision {source.revision[:12]}"
    raise UsageError(
        f"{name} is already on this machine at {there}", f"To replace it, first run: pixsearch model remove {name}"
    )


def _kind(hub: Hub, repository: Repository, language_model: bool) -> Kind:
    """Return the purpose of a model according to its config.json. Raises CheckpointInvalid, HubError, Unreachable."""
    from pixsearch.model.checkpoints import CONFIG_FILE

    file = repository.file(CONFIG_FILE)
    assert file is not None, "repositories without a config were rejected before"
    config = hub.read(repository, file)
    if not language_model:
        from pixsearch.model.matching_heads import is_matching
        from pixsearch.model.torch_towers import require_dual_encoder

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / CONFIG_FILE).write_bytes(config)
            if is_matching(folder):
                return "re-rank"
            require_dual_encoder(folder, repository.name)
        return "search"
    try:
        model_type = json.loads(config)["model_type"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointInvalid(f"config.json of {repository.name} has no model type", "Choose a BERT model") from error
    if model_type != "bert":
        raise CheckpointInvalid(
            f"{repository.name} is not a BERT model (model type: {model_type})", "Choose a BERT model"
        )
    return "train"


def _convert(folder: Path) -> None:
    from pixsearch.model.conversion import convert

    convert(folder)


def _try_matching(folder: Path) -> None:
    """Check that a matching model can be loaded and can read a picture. Raises CheckpointInvalid."""
    from PIL import Image

    from pixsearch.model.torch_pair_reader import TorchPairReader

    reader = TorchPairReader(folder)
    try:
        reader.logits(["a photo"], Image.new("RGB", (640, 480)))
    except PictureError as error:
        raise CheckpointInvalid(error.message, error.hint) from error


_FINISH: Mapping[Kind, Callable[[Path], None]] = {
    "search": _convert,
    "re-rank": _try_matching,
    "train": lambda _: None,
}
_USE: Mapping[Kind, str] = {
    "search": "To search with this model, run: pixsearch index --model {name} FOLDER",
    "re-rank": "To re-rank with this model, run: pixsearch query --rerank-model {name} WORDS",
    "train": "To train with this model, run: pixsearch train --set start.language_model={name}",
}


@app.command("list", cls=Command)
def list_models(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List the models on this machine, and show which one the library is indexed with.

    For example: pixsearch model list --json
    """
    from pixsearch.model.installed_models import installed_models

    used = _model_of(library)
    models = installed_models(used)
    if as_json:
        print_json({"models": [_record(model, used) for model in models]})
        return
    print_table(
        ["size", "kind", "licence", "languages", "name"],
        [
            [
                size(model.size_bytes),
                model.kind,
                model.licence or "-",
                _languages(model) or "-",
                f"{model.name} (the library's)" if _is_used(model, used) else model.name,
            ]
            for model in models
        ],
    )


@app.command("show", cls=Command)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help=f"The model: {_NAMED}")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show information about a model.

    For example: pixsearch model show shipped
    """
    from pixsearch.model.installed_models import abilities, find_installed

    model, used = find_installed(name), _model_of(library)
    able = abilities(model)
    if as_json:
        print_json(_record(model, used) | (_record_of_abilities(able)))
        return
    lines = [
        f"model       {model.name}",
        f"kind        {model.kind}",
        f"folder      {model.folder}",
        f"size        {size(model.size_bytes)}",
        f"licence     {model.licence or 'unknown'}",
        f"languages   {', '.join(model.languages) or 'unknown'}",
        *([f"revision    {model.revision}"] if model.revision else []),
        f"library     {'indexed with this model' if _is_used(model, used) else 'not indexed with this model'}",
    ]
    if able is not None and able.embedding_size is None:
        lines.append("re-rank     with --rerank-model only, not for indexing")
    elif able is not None:
        lines += [
            f"pictures    {able.input_size} x {able.input_size} pixels",
            f"embeddings  {able.embedding_size} numbers",
            f"re-rank     {'yes' if able.reads_pairs else 'no'}",
            f"calibrated  {'yes' if able.is_calibrated else 'no: see pixsearch calibrate'}",
        ]
    for line in lines:
        print(printable(line))


@app.command("remove", cls=Command)
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model name, as listed by pixsearch model list.")],
    library: LibraryOption = None,
    yes: YesOption = False,
) -> None:
    """Delete a model, or an interrupted download of one, from your model folder.

    For example: pixsearch model remove hub:google/siglip2-base-patch16-256
    """
    from pixsearch.model.installed_models import entry_of, find_installed
    from pixsearch.model.installed_models import remove as delete

    entry, used = entry_of(name), _model_of(library)
    try:
        model = find_installed(name)
    except PixsearchError:  # such as a folder without a config, or a broken link
        show_lines(f"folder    {entry}")
    else:
        show_lines(f"model     {model.name} ({size(model.size_bytes)})", f"folder    {entry}")
        if _is_used(model, used):
            show_message(
                f"the library {library_location(library)} is indexed with this model. To search by words afterwards, "
                "download it again, or run: pixsearch index --switch-model --model shipped"
            )
    if not yes and not confirmed("Delete it?"):
        show_message("nothing was deleted")
        raise typer.Exit(1)
    delete(entry)
    print(f"{entry} deleted")


def _model_of(library: str | None) -> str | None:
    """Return the name of the model that the library is indexed with, or None if there is no readable library."""
    from pixsearch import Library

    try:
        with Library.open(library_location(library), show_message) as opened:
            return None if (model := opened.model()) is None else model.name
    except LibraryNotFound:
        return None
    except PixsearchError as error:
        show_message(str(error))
        return None


def _is_used(model: InstalledModel, used: str | None) -> bool:
    from pixsearch.model.checkpoints import checkpoint_name

    return used is not None and checkpoint_name(model.folder) == used


def _languages(model: InstalledModel) -> str:
    more = len(model.languages) - _MOST_LANGUAGES
    named = ", ".join(model.languages[:_MOST_LANGUAGES])
    return f"{named} and {more} more" if more > 0 else named


def _record(model: InstalledModel, used: str | None) -> dict[str, object]:
    return {
        "name": model.name,
        "kind": model.kind,
        "folder": str(model.folder),
        "size_bytes": model.size_bytes,
        "licence": model.licence,
        "languages": list(model.languages) or None,
        "revision": model.revision,
        "indexed_with": _is_used(model, used),
    }


def _record_of_abilities(able: Abilities | None) -> dict[str, object]:
    return {
        "input_size": able and able.input_size,
        "embedding_size": able and able.embedding_size,
        "reads_pairs": able and able.reads_pairs,
        "calibrated": able and able.is_calibrated,
    }
