"""`pixsearch calibrate`: make probabilities of a model's match logits."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.durable import write_durably
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch_cli.measured_data import DataOption, ImagesOption, SplitOption, pictures_to_measure
from pixsearch_cli.options import CheckpointOption, JsonOption, MaxBadOption
from pixsearch_cli.output import print_json, print_table, progress_bars

if TYPE_CHECKING:
    from pixsearch_trainer.evaluation.calibration import Bin, CalibrationReport


def calibrate(
    data: DataOption,
    images: ImagesOption = None,
    model: CheckpointOption = None,
    split: SplitOption = None,
    candidates: Annotated[
        int, typer.Option(min=2, metavar="K", help="Nearest pictures that each caption is matched with.")
    ] = DEFAULT_CANDIDATES,
    sample: Annotated[int, typer.Option(min=2, metavar="N", help="Captions, drawn at random.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of --sample.")] = 0,
    diagram: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the reliability as SVG.")] = None,
    max_bad: MaxBadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit what turns a match into a probability, and write it into the checkpoint's config.json.

    For example: pixsearch calibrate --data dataset.json --images pictures --model my-model

    The data must be such as the model was not trained on. The pairs are those that a search looks at: each caption with
    its nearest pictures, a right one among them. Libraries need not be indexed again.
    """
    from pixsearch.model.checkpoints import CONFIG_FILE, find_checkpoint, load_checkpoint
    from pixsearch.model.config import PixelBertConfig
    from pixsearch.model.devices import best_device
    from pixsearch_trainer.evaluation.calibration import calibrate as fit_on
    from pixsearch_trainer.features import encode_grids

    checkpoint = find_checkpoint(model)
    network, processor = load_checkpoint(checkpoint)
    network.to(best_device())
    pictures = pictures_to_measure(data, images, split, max_bad)
    with progress_bars() as show, tempfile.TemporaryDirectory() as folder:
        grids = encode_grids(network, processor, pictures, Path(folder), show)
        report = fit_on(network, processor, pictures, grids, candidates, sample, seed, show)
    config = PixelBertConfig.load(checkpoint / CONFIG_FILE)
    dataclasses.replace(config, calibration=report.calibration).save(checkpoint / CONFIG_FILE)
    if diagram is not None:
        write_durably(diagram, reliability_diagram(report.bins).encode())
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        _print_report(report)


def _print_report(report: CalibrationReport) -> None:
    rows = [[f"{one.probability:.1%}", f"{one.share:.1%}", f"{one.pairs:,}"] for one in report.bins]
    print_table(["said", "true", "pairs"], rows)
    temperature, bias = report.calibration.temperature, report.calibration.bias
    print(
        f"probability = sigmoid(match / {temperature:.4g} {bias:+.4g}); expected calibration error "
        f"{report.expected_error:.2%} over {report.pairs:,} pairs, {report.matching:,} of them right"
    )


def reliability_diagram(bins: tuple[Bin, ...]) -> str:
    """What was said against what was true, as SVG; a dot's area grows with the number of its pairs."""
    size, margin = 320, 40
    most = max(one.pairs for one in bins)

    def at(share: float) -> float:
        return margin + share * size

    def dot(one: Bin) -> str:
        radius = 3 + 9 * (one.pairs / most) ** 0.5
        return f'<circle cx="{at(one.probability):.1f}" cy="{at(1 - one.share):.1f}" r="{radius:.1f}"/>'

    dots = "\n".join(map(dot, bins))
    ticks = "\n".join(
        f'<text x="{at(tenth / 10):.1f}" y="{at(1) + 18}" text-anchor="middle">{tenth * 10}</text>'
        f'<text x="{margin - 8}" y="{at(1 - tenth / 10) + 4:.1f}" text-anchor="end">{tenth * 10}</text>'
        for tenth in range(0, 11, 2)
    )
    edge = size + 2 * margin
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {edge} {edge}"
  font-family="sans-serif" font-size="11">
<rect width="{edge}" height="{edge}" fill="#fff"/>
<rect x="{margin}" y="{margin}" width="{size}" height="{size}" fill="none" stroke="#888"/>
<line x1="{margin}" y1="{at(1)}" x2="{at(1)}" y2="{margin}" stroke="#888" stroke-dasharray="4"/>
<g fill="#1f6feb" fill-opacity="0.8">
{dots}
</g>
<g fill="#333">
{ticks}
<text x="{edge / 2}" y="{edge - 4}" text-anchor="middle">probability that was said, %</text>
<text x="12" y="{edge / 2}" text-anchor="middle" transform="rotate(-90 12 {edge / 2})">pairs that match, %</text>
</g>
</svg>
"""
