"""Small VQA and NLVR2 data sets in their published formats."""

from __future__ import annotations

import json
from pathlib import Path

from tests.photos import make_photo

COLOURS = ("red", "blue")


def write_vqa(folder: Path, counts: dict[str, int]) -> None:
    """Write questions about the colour of squares, alternately red and blue, for splits of these sizes."""
    for split, count in counts.items():
        questions, annotations = [], []
        for number in range(count):
            colour = COLOURS[number % 2]
            make_photo(folder / split / f"COCO_{split}_{number:012d}.jpg", colour)
            identity = {"question_id": number + 1000 * len(split), "image_id": number}
            questions.append({**identity, "question": "What colour is it?"})
            annotations.append({**identity, "answers": 8 * [{"answer": colour}] + 2 * [{"answer": "The square."}]})
        described = {"data_subtype": split}
        (folder / f"{split}_questions.json").write_text(json.dumps({**described, "questions": questions}))
        (folder / f"{split}_annotations.json").write_text(json.dumps({**described, "annotations": annotations}))


def write_nlvr2(folder: Path, counts: dict[str, int]) -> None:
    """Write the sentence "Both are red." about two squares, cycling through all combinations of colours."""
    for split, count in counts.items():
        lines = []
        for number in range(count):
            left, right = COLOURS[number // 2 % 2], COLOURS[number % 2]
            name = f"{split}-{number}-0"
            for side, colour in enumerate((left, right)):
                make_photo(folder / split / "7" / f"{name}-img{side}.png", colour)
            truth = str(left == right == "red")
            line = {"identifier": f"{name}-0", "sentence": "Both are red.", "label": truth, "directory": 7}
            lines.append(json.dumps(line))
        (folder / f"{split}.json").write_text("\n".join(lines) + "\n")
