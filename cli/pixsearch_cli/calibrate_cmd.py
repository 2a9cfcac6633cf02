"""`pixsearch calibrate`: turn a model's scores into probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.durable import leads_to_stdout, write_output
from pixsearch.errors import UsageError
from pixsearch.printable import plural
from pixsearch.progress import ProgressCallback
from pixsearch.storage import to_path
from pixsearch_cli.measured_data import SplitOption, encode_split
from pixsearch_cli.options import CheckpointOption, JsonOption, MaxBadOption
from pixsearch_cli.output import print_json, print_table, progress_bars

if TYPE_CHECKING:
    from pixsearch.model.config import Stage
    from pixsearch.search.runtime import Runtime
    from pixsearch_trainer.evaluation.calibration import Bin, CalibrationReport
    from pixsearch_trainer.evaluation.known_pairs import KnownPairs

_NAMES: dict[Stage, str] = {"joint": "match", "late": "late score"}
_COLOURS = "#1f6feb", "#d2691e"


def calibrate(
    judged: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with judged queries for the photos in --images.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Pictures and captions to use instead, in any format that train reads.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder with the pictures. [default: the folder of the data file]")
    ] = None,
    model: CheckpointOption = None,
    split: SplitOption = None,
    candidates: Annotated[
        int, typer.Option(min=2, metavar="K", help="Number of nearest photos to match with each judged query.")
    ] = 32,
    sample: Annotated[int, typer.Option(min=2, metavar="N", help="Number of captioned pictures to sample.")] = 400,
    seed: Annotated[int, typer.Option(help="Random seed for --sample.")] = 0,
    diagram: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a reliability diagram to this SVG file.")
    ] = None,
    max_bad: MaxBadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the curves that turn scores into probabilities, and write them to the checkpoint's config.

    A probability states how likely a person is to say that the photo shows what the query describes. The match and the
    late interaction score have separate curves, fitted on the same pairs, so that their probabilities are comparable.
    A model from the hub has one curve, for its similarity. For example:

    pixsearch calibrate --judged queries.json --images album --model my-model

    pixsearch calibrate --data dataset.json --images pictures --model my-model

    Use pictures that the model was not trained on. Libraries do not need to be indexed again.
    """
    from pixsearch.model.checkpoints import find_checkpoint, save_calibration
    from pixsearch.model.load_runtime import load_runtime
    from pixsearch_trainer.evaluation.calibration import calibrate as fit_on
    from pixsearch_trainer.evaluation.calibration import calibration_of
    from pixsearch_trainer.evaluation.known_pairs import caption_pairs, choose_pictures

    if (judged is None) == (data is None):
        raise UsageError("calibrate needs either --judged or --data", "Use exactly one of them")
    checkpoint = find_checkpoint(model)
    runtime = load_runtime(checkpoint)
    with progress_bars() as show:
        if judged is not None:
            pairs = _match_judged(runtime, judged, images, candidates, show)
        else:
            assert data is not None
            encoded = encode_split(
                runtime, data, images, split, max_bad, show, lambda of: choose_pictures(of, sample, seed)
            )
            pairs = caption_pairs(runtime, encoded, show)
        reports = fit_on(pairs)
    calibration = calibration_of(reports)
    save_calibration(checkpoint, calibration)
    if diagram is not None:
        drawn = reliability_diagram({_NAMES[stage]: report.bins for stage, report in reports.items()})
        write_output(diagram, drawn.encode())
    if as_json:
        by_stage: dict[str, object] = {stage: dataclasses.asdict(report) for stage, report in reports.items()}
        print_json({"calibration": dataclasses.asdict(calibration)} | by_stage)
        return
    if diagram is not None and leads_to_stdout(diagram):
        return
    for number, (stage, report) in enumerate(reports.items()):
        if number:
            print()
        _print_report(_NAMES[stage], report)


def _match_judged(
    runtime: Runtime, judged: str, images: str | None, candidates: int, show: ProgressCallback
) -> KnownPairs:
    from pixsearch_trainer.evaluation.judged import encode_album, read_judged, right_photos, search_album
    from pixsearch_trainer.evaluation.known_pairs import judged_pairs

    file = to_path(judged)
    queries = read_judged(file)
    album = encode_album(runtime, file.parent if images is None else to_path(images), show)
    texts, right = [query.text for query in queries], right_photos(queries, album)
    return judged_pairs(search_album(runtime, album, texts, right, candidates, candidates, show))


def _print_report(name: str, report: CalibrationReport) -> None:
    rows = [[f"{one.probability:.1%}", f"{one.share:.1%}", f"{one.pairs:,}"] for one in report.bins]
    print_table([f"predicted by {name}", "observed", "pairs"], rows)
    print()
    headings = ["threshold", f"answered (of {report.present:,})", f"refused (of {report.absent:,})"]
    rows = [[f"{one.probability:.1f}", f"{one.answered:,}", f"{one.refused:,}"] for one in report.trade_off]
    print_table(headings, rows)
    print()
    if report.likely_right is not None and report.likely_said is not None:
        print(
            f"at 0.5 and above: {plural(report.likely, 'pair')}, "
            f"{report.likely_right:.1%} right, {report.likely_said:.1%} predicted"
        )
    print(
        f"log loss {report.log_loss:.4f}, expected calibration error {report.expected_error:.2%} over "
        f"{report.pairs:,} pairs, {report.right:,} of which are right"
    )
    slope, intercept = report.curve.slope, report.curve.intercept
    print(f"probability = sigmoid({slope:.4g} x {name} {intercept:+.4g}), 0.5 at a {name} of {-intercept / slope:.4g}")


def reliability_diagram(bins_of: Mapping[str, Sequence[Bin]]) -> str:
    """Return an SVG plot of the observed share against the predicted probability, with a colour for each named series.
    Larger dots represent more pairs."""
    size, margin = 320, 40
    edge, most = size + 2 * margin, max(one.pairs for bins in bins_of.values() for one in bins)

    def at(share: float) -> float:
        return margin + share * size

    series = ""
    for (name, bins), colour, row in zip(bins_of.items(), _COLOURS, range(len(_COLOURS)), strict=False):
        dots = "\n".join(
            f'<circle cx="{at(one.probability):.1f}" cy="{at(1 - one.share):.1f}" r="{3 + 9 * radius:.1f}"/>'
            for one, radius in ((one, (one.pairs / most) ** 0.5) for one in bins)
        )
        label = f'<text x="{margin + 12}" y="{margin + 20 + 16 * row}">{name}</text>'
        series += f'<g fill="{colour}" fill-opacity="0.8">\n{label}\n{dots}\n</g>\n'
    ticks = "\n".join(
        f'<text x="{at(tenth / 10):.1f}" y="{at(1) + 18}">{tenth * 10}</text>'
        f'<text x="{margin - 8}" y="{at(1 - tenth / 10) + 4:.1f}" text-anchor="end">{tenth * 10}</text>'
        for tenth in range(0, 11, 2)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {edge} {edge}"
  font-family="sans-serif" font-size="11">
<rect width="{edge}" height="{edge}" fill="#fff"/>
<rect x="{margin}" y="{margin}" width="{size}" height="{size}" fill="none" stroke="#888"/>
<line x1="{margin}" y1="{at(1)}" x2="{at(1)}" y2="{margin}" stroke="#888" stroke-dasharray="4"/>
{series}<g fill="#333" text-anchor="middle">
{ticks}
<text x="{edge / 2}" y="{edge - 4}">predicted probability, %</text>
<text x="12" y="{edge / 2}" transform="rotate(-90 12 {edge / 2})">observed share, %</text>
</g>
</svg>
"""
