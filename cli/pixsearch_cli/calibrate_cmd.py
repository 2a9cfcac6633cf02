"""`pixsearch calibrate`: make probabilities of a model's match logits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.durable import write_durably
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch_cli.measured_data import DataOption, ImagesOption, SplitOption, encode_split
from pixsearch_cli.options import CheckpointOption, JsonOption, MaxBadOption
from pixsearch_cli.output import print_json, print_table, progress_bars

if TYPE_CHECKING:
    from pixsearch_trainer.evaluation.calibration import Bin


def calibrate(
    data: DataOption,
    images: ImagesOption = None,
    model: CheckpointOption = None,
    split: SplitOption = None,
    candidates: Annotated[
        int, typer.Option(min=2, metavar="K", help="How many of its nearest pictures each caption is matched with.")
    ] = DEFAULT_CANDIDATES,
    sample: Annotated[int, typer.Option(min=2, metavar="N", help="How many captions to draw at random.")] = 1000,
    seed: Annotated[int, typer.Option(help="The seed of --sample.")] = 0,
    diagram: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the reliability as SVG.")] = None,
    max_bad: MaxBadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the curve that turns a match into a probability, and write it into the checkpoint's config.json.

    For example: pixsearch calibrate --data dataset.json --images pictures --model my-model

    The model must not have been trained on the data. Its pairs are what a search would look at: each caption with its
    nearest pictures, a right one among them. Libraries need not be indexed again.
    """
    from pixsearch.model.checkpoints import find_checkpoint, save_calibration
    from pixsearch.model.runtime import PixelBertRuntime
    from pixsearch_trainer.evaluation.calibration import calibrate as fit_on

    checkpoint = find_checkpoint(model)
    runtime = PixelBertRuntime(checkpoint)
    with progress_bars() as show:
        encoded = encode_split(runtime, data, images, split, max_bad, show)
        report = fit_on(runtime, encoded, candidates, sample, seed, show)
    save_calibration(checkpoint, report.calibration)
    if diagram is not None:
        write_durably(diagram, reliability_diagram(report.bins).encode())
    if as_json:
        print_json(dataclasses.asdict(report))
        return
    rows = [[f"{one.probability:.1%}", f"{one.share:.1%}", f"{one.pairs:,}"] for one in report.bins]
    print_table(["predicted", "observed", "pairs"], rows)
    temperature, bias = report.calibration.temperature, report.calibration.bias
    print(
        f"probability = sigmoid(match / {temperature:.4g} {bias:+.4g}); expected calibration error "
        f"{report.expected_error:.2%} over {report.pairs:,} pairs, {report.matching:,} of which match"
    )


def reliability_diagram(bins: tuple[Bin, ...]) -> str:
    """Draw the predicted probability against the observed share, as SVG; the area of a dot grows with its pairs."""
    size, margin = 320, 40
    edge, most = size + 2 * margin, max(one.pairs for one in bins)

    def at(share: float) -> float:
        return margin + share * size

    dots = "\n".join(
        f'<circle cx="{at(one.probability):.1f}" cy="{at(1 - one.share):.1f}" r="{3 + 9 * radius:.1f}"/>'
        for one, radius in ((one, (one.pairs / most) ** 0.5) for one in bins)
    )
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
<g fill="#1f6feb" fill-opacity="0.8">
{dots}
</g>
<g fill="#333" text-anchor="middle">
{ticks}
<text x="{edge / 2}" y="{edge - 4}">predicted probability, %</text>
<text x="12" y="{edge / 2}" transform="rotate(-90 12 {edge / 2})">observed share of matches, %</text>
</g>
</svg>
"""
