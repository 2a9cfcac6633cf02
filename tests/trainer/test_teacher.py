"""A teacher that transformers loads, and what a student takes from it."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor

from pixsearch.errors import CheckpointInvalid, DatasetError, ModelNotFound
from pixsearch.progress import Progress, silent
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.objectives.distillation import distillation_loss, draw_texts, nearest_texts
from pixsearch_trainer.teacher import Teacher, encode_with_teacher
from tests.tiny_teacher import make_tiny_clip

from transformers import (  # isort: skip  (after what lets torchvision be imported)
    AlignConfig,
    AlignModel,
    AlignProcessor,
    BertConfig,
    BertModel,
    CLIPModel,
    CLIPProcessor,
    EfficientNetImageProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SENTENCES = ["a dog", "a black dog jumps", "cat", "the sea at night", "trees"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(autouse=True)
def _whole_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch_trainer.teacher.autocast", lambda device: nullcontext())


def letters_tokenizer() -> PreTrainedTokenizerFast:
    """Knows words of one letter."""
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", *"abcdefgh"])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    )


def noise(count: int, size: tuple[int, int] = (48, 40), seed: int = 0) -> list[Image.Image]:
    """Pictures of some random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
    return [Image.fromarray(four).resize(size, Image.Resampling.BILINEAR) for four in colours]


def saved(pictures: list[Image.Image], folder: Path) -> list[CaptionedPicture]:
    """Each as a file, without a caption."""
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
    return [CaptionedPicture(folder / f"{number}.png", ()) for number in range(len(pictures))]


@torch.no_grad()
def test_a_clip_gives_what_calling_it_by_hand_gives(clip: Path) -> None:
    model, processor = CLIPModel.from_pretrained(clip), CLIPProcessor.from_pretrained(clip)
    pictures = noise(3)

    teacher = Teacher.load(str(clip))

    by_hand = model(**processor(text=SENTENCES, images=pictures, padding=True, return_tensors="pt"))
    assert teacher.embed_pictures(pictures).numpy() == pytest.approx(by_hand.image_embeds.numpy(), abs=1e-5)
    assert teacher.embed_texts(SENTENCES).numpy() == pytest.approx(by_hand.text_embeds.numpy(), abs=1e-5)
    assert teacher.scale == pytest.approx(50)


@torch.no_grad()
def test_a_siglip_reads_sentences_padded_as_in_its_training_whatever_stands_beside_them(tmp_path: Path) -> None:
    config = SiglipConfig(
        text_config={**SIZE, "vocab_size": 10, "max_position_embeddings": 16},
        vision_config={**SIZE, "image_size": 32, "patch_size": 8},
    )
    torch.manual_seed(0)
    model = SiglipModel(config).eval()
    model.logit_scale.fill_(2.0)
    processor = SiglipProcessor(SiglipImageProcessor(size={"height": 32, "width": 32}), letters_tokenizer())
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    texts, pictures = ["a b", "c d e"], noise(2)

    teacher = Teacher.load(str(tmp_path))

    ids = torch.tensor([[2, 3] + [0] * 14, [4, 5, 6] + [0] * 13])
    by_hand = model(input_ids=ids, **processor(images=pictures, return_tensors="pt"))
    assert teacher.embed_texts(texts).numpy() == pytest.approx(by_hand.text_embeds.numpy(), abs=1e-5)
    assert teacher.embed_texts(texts[:1]).numpy() == pytest.approx(by_hand.text_embeds[:1].numpy(), abs=1e-5)
    assert teacher.embed_pictures(pictures).numpy() == pytest.approx(by_hand.image_embeds.numpy(), abs=1e-5)
    assert teacher.scale == pytest.approx(np.exp(2))


def make_tiny_align(folder: Path, projection: int) -> Path:
    """Its pictures have 64 features, its sentences `projection`; its temperature is 0.02."""
    config = AlignConfig(
        text_config={**SIZE, "vocab_size": 10},
        vision_config={"image_size": 64, "width_coefficient": 0.2, "depth_coefficient": 0.2, "hidden_dim": 64},
        projection_dim=projection,
        temperature_init_value=0.02,
    )
    AlignModel(config).save_pretrained(folder)
    images = EfficientNetImageProcessor(size={"height": 64, "width": 64})
    AlignProcessor(images, letters_tokenizer()).save_pretrained(folder)
    return folder


def test_an_align_has_a_temperature_for_a_scale(tmp_path: Path) -> None:
    assert Teacher.load(str(make_tiny_align(tmp_path, projection=64))).scale == pytest.approx(50)


def test_a_teacher_that_does_not_say_its_scale_has_that_of_a_trained_clip(clip: Path) -> None:
    model = CLIPModel.from_pretrained(clip)
    del model.logit_scale

    assert Teacher(model, CLIPProcessor.from_pretrained(clip)).scale == 100


def test_a_teacher_kept_in_half_precision_is_run_in_whole(clip: Path, tmp_path: Path) -> None:
    model, processor = CLIPModel.from_pretrained(clip).half(), CLIPProcessor.from_pretrained(clip)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)

    teacher = Teacher.load(str(tmp_path))

    by_hand = Teacher(model.float(), processor)
    assert teacher.embed_texts(SENTENCES).numpy() == pytest.approx(by_hand.embed_texts(SENTENCES).numpy(), abs=1e-6)


def test_a_sentence_that_is_too_long_is_cut(clip: Path) -> None:
    teacher = Teacher.load(str(clip))

    whole, cut = teacher.embed_texts(["a " * 14, "a " * 40])  # of its 16 places two are the start's and the end's

    assert cut.numpy() == pytest.approx(whole.numpy(), abs=1e-6)


def test_a_teacher_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"nothing.*openai/clip") as caught:
        Teacher.load(str(tmp_path / "nothing"))

    assert "\n" not in str(caught.value)


def test_a_bert_is_no_teacher(tmp_path: Path) -> None:
    BertModel(BertConfig(vocab_size=10, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        tmp_path
    )
    letters_tokenizer().save_pretrained(tmp_path)

    with pytest.raises(CheckpointInvalid, match="bert that gives no image and text features"):
        Teacher.load(str(tmp_path))


def test_features_of_different_widths_are_no_space_in_common(tmp_path: Path) -> None:
    make_tiny_align(tmp_path, projection=32)

    with pytest.raises(CheckpointInvalid, match=r"a picture \[1, 64\] and a text \[1, 32\]"):
        Teacher.load(str(tmp_path))


def test_code_that_comes_with_a_teacher_is_not_run(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "foreign")
    ran = tmp_path / "ran"
    (folder / "foreign.py").write_text(f"open({str(ran)!r}, 'w')\nForeign = None\n")
    auto_map = {"AutoConfig": "foreign.Foreign", "AutoModel": "foreign.Foreign"}
    (folder / "config.json").write_text(json.dumps({"model_type": "foreign", "auto_map": auto_map}))

    with pytest.raises(CheckpointInvalid, match="foreign"):
        Teacher.load(str(folder))

    assert not ran.exists()


@pytest.mark.parametrize("damage", ["no config", "no weights", "cut weights", "no processor", "an unknown model"])
def test_a_damaged_teacher_is_refused_in_one_line(clip: Path, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(clip, tmp_path / "damaged")
    weights = folder / "model.safetensors"
    if damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "no processor":
        for file in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
            (folder / file).unlink()
    else:
        (folder / "config.json").write_text(json.dumps({"model_type": "no_such_model"}))

    with pytest.raises(CheckpointInvalid, match="damaged") as caught:
        Teacher.load(str(folder))

    assert "\n" not in str(caught.value)


def test_a_teacher_that_lacks_weights_is_refused_and_not_filled_with_random_ones(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "partial")
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(CheckpointInvalid, match=r"lacks 1 of its weights \(visual_projection"):
        Teacher.load(str(folder))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_data_set_is_embedded_in_its_order_and_told_of(clip: Path, tmp_path: Path, workers: int) -> None:
    teacher = Teacher.load(str(clip))
    pictures = noise(35)  # more than a batch
    texts = [f"{'ab' * (number % 5 + 1)} {chr(97 + number % 26)}" for number in range(300)]
    told: list[Progress] = []

    embeddings = encode_with_teacher(teacher, saved(pictures, tmp_path), texts, told.append, workers)

    assert embeddings.images.dtype == embeddings.texts.dtype == torch.float16
    assert embeddings.scale == pytest.approx(50)
    assert embeddings.images.shape == (35, 16)
    assert embeddings.images.numpy() == pytest.approx(teacher.embed_pictures(pictures).numpy(), abs=1e-3)
    assert embeddings.texts.shape == (300, 16)
    assert embeddings.texts.numpy() == pytest.approx(teacher.embed_texts(texts).numpy(), abs=1e-3)
    assert [(step.done, step.total) for step in told] == [(32, 35), (35, 35), (256, 300), (300, 300)]


def test_a_picture_that_cannot_be_read_is_named(clip: Path, tmp_path: Path) -> None:
    pictures = saved(noise(3), tmp_path)
    pictures[2].file.write_text("no picture")

    with pytest.raises(DatasetError, match=r"2\.png"):
        encode_with_teacher(Teacher.load(str(clip)), pictures, SENTENCES, silent)


def rank_correlation(some: Tensor, others: Tensor) -> float:
    """Spearman's, of each row with the same row of the other, the mean over rows; for values that are all different."""
    ranks = (rows.argsort(1).argsort(1).numpy() for rows in (some, others))
    return float(np.mean([np.corrcoef(*rows)[0, 1] for rows in zip(*ranks, strict=True)]))


def test_a_student_learns_from_unlabelled_pictures_to_order_texts_for_new_ones_as_its_teacher_does(
    clip: Path, tmp_path: Path
) -> None:
    bank = [f"{first}{second}" for first in "abcdefgh" for second in "stuvwxyz"]
    pictures = noise(400)
    teacher = encode_with_teacher(Teacher.load(str(clip)), saved(pictures, tmp_path), bank, silent)
    thumbnails = torch.tensor(np.array([np.asarray(picture.resize((4, 4))) for picture in pictures]))
    features = thumbnails.flatten(1) / 127.5 - 1
    torch.manual_seed(0)
    image_map = torch.nn.Linear(features.shape[1], 16)
    text_table = torch.nn.Embedding(len(bank), 16)
    training, new = 300, slice(300, 400)

    def scores(of: Tensor, texts: Tensor) -> Tensor:
        return F.normalize(text_table(texts), dim=-1) @ F.normalize(image_map(of), dim=-1).T  # [texts, pictures]

    def agreement() -> tuple[float, float]:
        """How far both order the used texts alike for a new picture: by score, and by how far a text's score is above
        its mean over pictures, of which a student that is blind to pictures knows nothing."""
        with torch.no_grad():
            student = scores(features[new], used).T
        master = teacher.images[new].float() @ teacher.texts[used].float().T
        return rank_correlation(student, master), rank_correlation(student - student.mean(0), master - master.mean(0))

    nearest = nearest_texts(teacher, k=24)
    used = nearest[:training].unique()  # what is never near a picture is never drawn
    before = agreement()
    optimizer = torch.optim.Adam([*image_map.parameters(), *text_table.parameters()], lr=0.03)
    for _ in range(600):
        drawn = torch.randint(training, (64,))
        texts = draw_texts(nearest, drawn)
        loss = distillation_loss(teacher.scale * scores(features[drawn], texts), *teacher.targets(drawn, texts))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = agreement()

    assert max(map(abs, before)) < 0.15
    assert min(after) > 0.6, f"{before} -> {after}"
