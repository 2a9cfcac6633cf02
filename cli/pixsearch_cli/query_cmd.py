"""`pixsearch query`: find photos."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pixsearch.durable import leads_to_stdout
from pixsearch.errors import PixsearchError, UsageError, WordsNotLocated
from pixsearch.filters import Filters
from pixsearch.printable import printable
from pixsearch.regular_files import TEXT_LIMIT_BYTES, UnsuitableFile, read_argument
from pixsearch.search.query import DEFAULT_CANDIDATES, Query, Words, why_not_read
from pixsearch.settings import DATABASE_NAME, Location, library_location
from pixsearch_cli.html_page import Section, write_page
from pixsearch_cli.index_cmd import unfinished
from pixsearch_cli.options import JsonOption, LibraryOption, ModelOption, NullOption, PathsOption, PicturesOption
from pixsearch_cli.output import show_message, warn_of_damage
from pixsearch_cli.query_filters import with_filter_options
from pixsearch_cli.query_parts import is_picture, other_parts
from pixsearch_cli.query_results import (
    copy_hits,
    open_best,
    print_hits,
    print_json_lines,
    print_paths,
    print_text_hits,
)
from pixsearch_cli.rerank_model import RerankModelOption, load_rerank_model, tell_unread
from pixsearch_cli.terminal_pictures import shows_pictures

if TYPE_CHECKING:
    from pixsearch import SearchEngine
    from pixsearch.search.candidate_reader import CandidateReader
    from pixsearch.search.explain import Explanation

NOT_ALL, NOTHING_MATCHES = 1, 3


class Find(StrEnum):
    photos = "photos"
    texts = "texts"


class By(StrEnum):
    relevance = "relevance"
    newest = "newest"
    oldest = "oldest"


class Duplicates(StrEnum):
    fold = "fold"
    show = "show"


@with_filter_options
def query(
    *,
    words: Annotated[
        str | None, typer.Argument(metavar="WORDS", help="Search text; use - for stdin.", show_default=False)
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="FILE|URL|-", help="Search by image; use - for stdin."),
    ] = None,
    plus: Annotated[
        list[str] | None,
        typer.Option("--plus", metavar="[WEIGHT:]WORDS|FILE", help="Photos should also match this; repeatable."),
    ] = None,
    minus: Annotated[
        list[str] | None,
        typer.Option("--minus", metavar="[WEIGHT:]WORDS|FILE", help="Photos should not match this; repeatable."),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option("--queries", metavar="FILE|-", help="Run each line of a file as a query; use - for stdin."),
    ] = None,
    find: Annotated[
        Find, typer.Option("--find", help="What to search for; texts can only be found by image.")
    ] = Find.photos,
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="N", min=1, help="Number of photos to show.")] = 10,
    candidates: Annotated[
        int,
        typer.Option("--candidates", metavar="N", min=1, help="Number of photos to re-rank."),
    ] = DEFAULT_CANDIDATES,
    rerank: Annotated[
        bool | None,
        typer.Option(
            "--rerank/--no-rerank",
            help="Rank by match, or by similarity, which is faster. [default: chosen by the model]",
            show_default=False,
        ),
    ] = None,
    rerank_model: RerankModelOption = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="P", min=0, max=1, help="Hide photos with a score below P, from 0 to 1."),
    ] = None,
    duplicates: Annotated[
        Duplicates, typer.Option("--duplicates", help="Group near-duplicates, or list them individually.")
    ] = Duplicates.fold,
    sort: Annotated[By, typer.Option("--sort", help="Best matches first, or by date.")] = By.relevance,
    offset: Annotated[int, typer.Option("--offset", metavar="N", min=0, help="Skip the first N photos.")] = 0,
    shows: Annotated[
        bool, typer.Option("--shows", help="Search only by what photos show, not by their metadata.")
    ] = False,
    says: Annotated[bool, typer.Option("--says", help="Only photos whose metadata contains all the words.")] = False,
    literal: Annotated[
        bool, typer.Option("--literal", help="Search for the exact words: no negation, no suggestions.")
    ] = False,
    filters: Filters,
    allow_network: Annotated[bool, typer.Option("--allow-network", help="Allow downloading --image URLs.")] = False,
    pictures: PicturesOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open the best photo in the system's viewer.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", metavar="DIR", help="Copy the photos to this folder.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the photos to an HTML page.")
    ] = None,
    html_names: Annotated[
        bool, typer.Option("--html-names", help="Include titles, captions, people and places in that page.")
    ] = False,
    library: LibraryOption = None,
    model: ModelOption = None,
) -> None:
    """Find photos.

    For example:

    pixsearch query "cherry blossoms in spring"

    pixsearch query "Anna on the beach, summer 2021"

    pixsearch query "a beach" --plus sunset.jpg --minus 0.5:people --after 2021-03 --before 2021-06

    pixsearch query --person anna --near Kyoto,20 --sort oldest

    pixsearch query --image photo.jpg --no-pictures -0 | xargs -0 ls -l

    Exit code 3: nothing in this library matches; 1: a photo could not be copied or opened.
    """
    if as_json and (paths or null):
        raise UsageError("--json and --paths cannot be used together", "Omit one of them")
    if words is not None and image is None and is_picture(words):
        show_message(f"{words} is a picture: searching by image, as with --image")
        words, image = None, words
    if filters.near is not None and filters.near.centre is not None:
        show_message(f"near {filters.near.centre}")
    others = other_parts(image, plus or [], minus or [], allow_network)
    asked = [
        (
            _shown(text, image, plus or [], minus or []),
            Query(
                others if text is None else (Words(text), *others),
                filters=filters,
                candidates=candidates,
                rerank=rerank,
                threshold=threshold,
                duplicates=duplicates.value,
                evidence=_evidence(shows=shows, says=says),
                sort=sort.value,
                literal=literal,
                offset=offset,
            ),
        )
        for text in _texts(words, queries)
    ]
    if rerank_model is not None:
        _check_rerank_model(find, [query for _, query in asked])
    if find == Find.texts:
        if paths or null or html or copy_to or open_it:
            raise UsageError(
                "--find texts cannot be combined with options for photos",
                "Omit --paths, --null, --html, --copy-to and --open",
            )
        _find_texts(asked[0][1], top_k, library_location(library), model, as_json)
        return
    with_pictures = not (as_json or paths or null) and shows_pictures(pictures)
    opens_files = with_pictures or html is not None or copy_to is not None or open_it
    location = library_location(library)
    answers = _search(asked, top_k, location, model, rerank_model, explained=html is not None, opens_files=opens_files)
    is_table_shown = html is None or not leads_to_stdout(html)
    for answer in answers:
        question, hits = answer.query, answer.hits
        tell_unread(hits)
        for remark in () if answer.remarks is None else answer.remarks.sentences():
            show_message(remark)
        if as_json:
            print_json_lines(hits, None if queries is None else question, answer.remarks)
        elif paths or null:
            print_paths(hits, b"\0" if null else b"\n")
        elif hits and is_table_shown:
            if queries is not None:
                print(printable(question))
            print_hits(hits, answer.stored if with_pictures else None)
        if not hits:
            show_message("nothing in this library matches" + ("" if queries is None else f": {question}"))
    if html is not None:
        write_page(html, answers, names=html_names)
    if not (found := [hit for answer in answers for hit in answer.hits]):
        raise typer.Exit(NOTHING_MATCHES)
    stored = {id_: picture for answer in answers for id_, picture in answer.stored.items()}
    is_copied = copy_to is None or copy_hits(found, stored, copy_to)
    is_opened = not open_it or open_best(found[0], stored)
    if not (is_copied and is_opened):
        raise typer.Exit(NOT_ALL)


def _evidence(*, shows: bool, says: bool) -> Literal["both", "shows", "says"]:
    if shows and says:
        raise UsageError("--shows and --says cannot be used together", "Omit both to search pictures and metadata")
    return "shows" if shows else "says" if says else "both"


def _check_rerank_model(find: Find, queries: Sequence[Query]) -> None:
    """Raise UsageError if a re-rank model cannot order the results of a query."""
    reasons = [why_not_read(query) for query in queries]
    if find == Find.texts:
        reasons = ["a re-ranking model ranks photos, not texts"]
    for reason in filter(None, reasons):
        raise UsageError(reason, "Omit --rerank-model, or change the query")


def _shown(words: str | None, image: str | None, plus: Sequence[str], minus: Sequence[str]) -> str:
    """Return the query on one line."""
    others = [f"+ {part}" for part in plus] + [f"- {part}" for part in minus]
    return " ".join([*filter(None, [words, image]), *others])


def _texts(words: str | None, queries: str | None) -> Sequence[str | None]:
    """Return the words of each query; None for a query without words."""
    if queries is None:
        return [" ".join(_stdin().split()) if words == "-" else words]
    if words is not None:
        raise UsageError("--queries and WORDS cannot be used together", "Put the words in the file")
    try:
        text = _stdin() if queries == "-" else read_argument(queries, TEXT_LIMIT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{queries} is not UTF-8 text", "Save it as UTF-8, one query per line") from error
    except UnsuitableFile as error:
        raise UsageError(f"{queries} is {error.strerror}", "Use a text file, or - for stdin") from error
    lines = text.splitlines()
    if not (texts := [line.strip() for line in lines if line.strip()]):
        raise UsageError(f"{queries} contains no query", "Write one query per line")
    return texts


def _stdin() -> str:
    text = sys.stdin.read(TEXT_LIMIT_BYTES + 1)
    if len(text) > TEXT_LIMIT_BYTES:
        raise UsageError(f"stdin is larger than {TEXT_LIMIT_BYTES >> 20} MiB", "Send one query per line")
    return text


def _find_texts(asked: Query, k: int, location: Location, model: str | None, as_json: bool) -> None:
    with _engine(location, model, reads_words=False) as engine:
        hits = [] if engine is None else engine.find_texts(asked, k)
    if not hits:
        show_message("no text in this library matches")
        raise typer.Exit(NOTHING_MATCHES)
    print_text_hits(hits, as_json)


def _search(
    asked: Sequence[tuple[str, Query]],
    k: int,
    location: Location,
    model: str | None,
    rerank_model: str | None,
    *,
    explained: bool,
    opens_files: bool,
) -> list[Section]:
    """Run the queries and return a section for each. `opens_files` adds the stored pictures of the hits."""
    if not any(query.parts and query.evidence != "says" for _, query in asked):
        return [_listed(shown, query, k, location, opens_files=opens_files) for shown, query in asked]
    answers, reads_words = [], any(query.words for _, query in asked)
    reader = None if rerank_model is None else _reader(rerank_model)
    with _engine(location, model, reader, reads_words=reads_words, many=len(asked) > 1) as engine:
        for shown, query in asked:
            hits = [] if engine is None else engine.search(query, k)
            remarks = None if engine is None else engine.remarks(query)
            words = remarks.query.main_words if explained and remarks is not None else None
            why = [None if engine is None or words is None else _why(engine, words.text, hit.id) for hit in hits]
            pictures = [] if engine is None or not opens_files else [engine.picture(hit.id) for hit in hits]
            stored = {picture.content_id: picture for picture in pictures if picture is not None}
            answers.append(Section(shown, hits, why, stored, remarks))
    return answers


def _reader(rerank_model: str) -> CandidateReader:
    from pixsearch.search.candidate_reader import CandidateReader  # imports Pillow, which most queries do not need

    return CandidateReader(load_rerank_model(rerank_model))


def _why(engine: SearchEngine, words: str, content_id: int) -> Explanation | None:
    """Return where the words are found in a hit. Return None if the model cannot locate words: maps are optional."""
    try:
        return engine.explain(words, content_id)
    except WordsNotLocated:
        return None


def _listed(shown: str, query: Query, k: int, location: Location, *, opens_files: bool) -> Section:
    """Return the section for a query that needs no model, because it does not compare pictures."""
    from pixsearch import Library
    from pixsearch.search.listing import listed_photos, photos_that_say
    from pixsearch.search.remarks import remarks_on

    with Library.open(location, show_message) as library:
        hits = photos_that_say(library, query, k) if query.parts else listed_photos(library, query, k)
        remarks = remarks_on(query, library, None)
        stored = library.pictures([hit.id for hit in hits]) if opens_files else {}
        warn_of_damage(library.damage())
    return Section(shown, hits, [None] * len(hits), stored, remarks)


@contextmanager
def _engine(
    location: Location,
    model: str | None,
    reader: CandidateReader | None = None,
    *,
    reads_words: bool,
    many: bool = False,
) -> Iterator[SearchEngine | None]:
    """Yield the engine of a library, or None if nothing was ever indexed.

    If `many` is true, a GPU is used if possible. It is not worth its start-up time for a few queries.
    """
    from pixsearch.library.likely_model import likely_model
    from pixsearch.model.checkpoints import checkpoint_for
    from pixsearch.model.load_runtime import load_runtime

    likely = runtime = None
    if isinstance(location, str) or (location / DATABASE_NAME).is_file():
        # Start loading the most likely model before opening the library, so that SQLAlchemy is imported while it loads.
        with nullcontext() if model else suppress(PixsearchError):  # the guess may be wrong
            likely = checkpoint_for(model or likely_model(location), None)
            runtime = load_runtime(likely, gpu=many)
            if reads_words:
                runtime.prepare_for_words(kept_only=True)
    from pixsearch import Library, SearchEngine

    with Library.open(location, show_message) as library:
        if library.model() is None:
            yield None
            return
        checkpoint = library.checkpoint(model)
        if runtime is None or checkpoint != likely:
            runtime = load_runtime(checkpoint, gpu=many)
        if (switch := library.switch()) is not None and switch.searched:
            show_message(unfinished(switch))
        yield SearchEngine(library, runtime, reader)
        warn_of_damage(library.damage())
