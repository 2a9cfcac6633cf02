"""A teacher loaded with transformers, and what a student learns from it."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.pre_tokenizers import Whitespace

from pixsearch.errors import CheckpointInvalid, DatasetError, ModelNotFound
from pixsearch.progress import Progress, silent
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.teacher import (
    Teacher,
    caption_by_teacher,
    embed_with_teacher,
    read_texts,
    text_bank,
    vocabulary_prompts,
)
from tests.tiny_teacher import make_tiny_clip
from tests.trainer.conftest import refused
from tests.unsuitable_files import UNSUITABLE, in_time

import transformers  # isort: skip  (after what lets torchvision be imported)

TOKENIZER = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SENTENCES = ["a dog", "a black dog jumps", "cat", "the sea at night", "trees"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def teacher(clip: Path) -> Teacher:
    return Teacher.load(str(clip))


@pytest.fixture(autouse=True)
def _whole_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch_trainer.teacher.autocast", lambda device: nullcontext())


def letters_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer for one-letter words."""
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", *"abcdefgh"])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    )


def noise(count: int) -> list[Image.Image]:
    """Return pictures in random colours."""
    colours = np.random.default_rng(0).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
    return [Image.fromarray(four).resize((48, 40), Image.Resampling.BILINEAR) for four in colours]


@torch.no_grad()
def test_a_clip_gives_what_calling_it_by_hand_gives(clip: Path, teacher: Teacher) -> None:
    model, processor = transformers.CLIPModel.from_pretrained(clip), transformers.CLIPProcessor.from_pretrained(clip)
    pictures = noise(3)

    by_hand = model(**processor(text=SENTENCES, images=pictures, padding=True, return_tensors="pt"))

    assert teacher.embed_pictures(pictures).numpy() == pytest.approx(by_hand.image_embeds.numpy(), abs=1e-5)
    assert teacher.embed_texts(SENTENCES).numpy() == pytest.approx(by_hand.text_embeds.numpy(), abs=1e-5)
    assert teacher.scale == pytest.approx(50)
    assert teacher.edge == 32


@torch.no_grad()
def test_a_siglip_reads_sentences_padded_as_in_its_training_whatever_stands_beside_them(tmp_path: Path) -> None:
    config = transformers.SiglipConfig(
        text_config={**SIZE, "vocab_size": 10, "max_position_embeddings": 16},
        vision_config={**SIZE, "image_size": 32, "patch_size": 8},
    )
    model = transformers.SiglipModel(config).eval()
    model.logit_scale.fill_(2.0)
    processor = transformers.SiglipProcessor(
        transformers.SiglipImageProcessor(size={"height": 32, "width": 32}), letters_tokenizer()
    )
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
    """Save a tiny ALIGN model with 64 picture features, `projection` text features and a temperature of 0.02."""
    config = transformers.AlignConfig(
        text_config={**SIZE, "vocab_size": 10},
        vision_config={"image_size": 64, "width_coefficient": 0.2, "depth_coefficient": 0.2, "hidden_dim": 64},
        projection_dim=projection,
        temperature_init_value=0.02,
    )
    transformers.AlignModel(config).save_pretrained(folder)
    images = transformers.EfficientNetImageProcessor(size={"height": 64, "width": 64})
    transformers.AlignProcessor(images, letters_tokenizer()).save_pretrained(folder)
    return folder


def test_a_scale_may_be_a_temperature_and_is_that_of_a_trained_clip_where_there_is_none(
    clip: Path, tmp_path: Path
) -> None:
    model = transformers.CLIPModel.from_pretrained(clip)
    del model.logit_scale

    assert Teacher.load(str(make_tiny_align(tmp_path, projection=64))).scale == pytest.approx(50)
    assert Teacher(model, transformers.CLIPProcessor.from_pretrained(clip)).scale == 100


def test_a_teacher_kept_in_half_precision_is_run_in_whole(clip: Path, tmp_path: Path) -> None:
    model, processor = (
        transformers.CLIPModel.from_pretrained(clip).half(),
        transformers.CLIPProcessor.from_pretrained(clip),
    )
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)

    teacher = Teacher.load(str(tmp_path))

    by_hand = Teacher(model.float(), processor)
    assert teacher.embed_texts(SENTENCES).numpy() == pytest.approx(by_hand.embed_texts(SENTENCES).numpy(), abs=1e-6)


def test_a_sentence_that_is_too_long_is_cut(teacher: Teacher) -> None:
    whole, cut = teacher.embed_texts(["a " * 14, "a " * 40])  # two of its 16 positions are for start and end

    assert cut.numpy() == pytest.approx(whole.numpy(), abs=1e-6)


@pytest.mark.parametrize("source", ["openai/clip-vit-base-patch32", "hub:openai/clip-vit-base-patch32"])
def test_a_teacher_that_is_not_on_this_machine_is_not_downloaded(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    with refused(ModelNotFound, r"no folder .*Download it with: pixsearch model get hub:openai/clip-vit-base-patch32$"):
        Teacher.load(source)


def test_a_teacher_that_was_downloaded_is_found_by_its_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shutil.copytree(clip, tmp_path / "pixsearch/models/hub/org--tiny")

    embeddings = [Teacher.load(source).embed_texts(SENTENCES) for source in (str(clip), "hub:org/tiny", "org/tiny")]

    assert torch.equal(embeddings[0], embeddings[1])
    assert torch.equal(embeddings[0], embeddings[2])


def test_a_teacher_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with refused(ModelNotFound, r"'.*nothing' is neither a folder nor a Hub model name"):
        Teacher.load(str(tmp_path / "nothing"))


def test_a_model_without_features_of_one_width_is_no_teacher(tmp_path: Path) -> None:
    bert = transformers.BertConfig(vocab_size=10, hidden_size=32, num_attention_heads=2)
    transformers.BertModel(bert).save_pretrained(tmp_path / "bert")
    letters_tokenizer().save_pretrained(tmp_path / "bert")
    make_tiny_align(tmp_path / "align", projection=32)

    with pytest.raises(CheckpointInvalid, match=r"\(bert\) does not have matching image and text features"):
        Teacher.load(str(tmp_path / "bert"))
    with pytest.raises(CheckpointInvalid, match=r"image features have shape \[1, 64\] and text features \[1, 32\]"):
        Teacher.load(str(tmp_path / "align"))


def test_code_that_comes_with_a_teacher_is_not_run(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "foreign")
    ran = tmp_path / "ran"
    (folder / "foreign.py").write_text(f"open({str(ran)!r}, 'w')\nForeign = None\n")
    auto_map = {"AutoConfig": "foreign.Foreign", "AutoModel": "foreign.Foreign"}
    (folder / "config.json").write_text(json.dumps({"model_type": "foreign", "auto_map": auto_map}))

    with pytest.raises(CheckpointInvalid, match="foreign"):
        Teacher.load(str(folder))

    assert not ran.exists()


@pytest.mark.parametrize("damaged", ["config.json", "model.safetensors", "processor_config.json tokenizer.json"])
@pytest.mark.parametrize("kept", [0, 2000], ids=["missing", "cut"])
def test_a_damaged_teacher_is_refused_in_one_line(clip: Path, tmp_path: Path, damaged: str, kept: int) -> None:
    folder = shutil.copytree(clip, tmp_path / "damaged")
    for file in (folder / name for name in damaged.split()):
        whole = file.read_bytes()
        file.unlink()
        if kept:
            file.write_bytes(whole[: min(kept, len(whole) // 2)])

    with refused(CheckpointInvalid, r"cannot load .*damaged as a teacher"):
        Teacher.load(str(folder))


def test_a_teacher_that_lacks_weights_is_refused_and_not_filled_with_random_ones(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "partial")
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(CheckpointInvalid, match=r"is missing 1 tensor \(visual_projection"):
        Teacher.load(str(folder))


def test_a_data_set_is_embedded_in_its_order_and_reported(teacher: Teacher, packed: list[CaptionedPicture]) -> None:
    pictures = [*packed, *packed[:3]]  # more than one batch, like the texts
    texts = [f"{'ab' * (number % 5 + 1)} {chr(97 + number % 26)}" for number in range(300)]
    reported: list[Progress] = []

    embeddings = embed_with_teacher(teacher, pictures, texts, reported.append)

    decoded = [open_packed(picture.file, 32) for picture in pictures]
    assert embeddings.images.dtype == embeddings.texts.dtype == torch.float16
    assert embeddings.scale == pytest.approx(50)
    assert embeddings.images.numpy() == pytest.approx(teacher.embed_pictures(decoded).numpy(), abs=1e-3)
    assert embeddings.texts.numpy() == pytest.approx(teacher.embed_texts(texts).numpy(), abs=1e-3)
    assert [(step.done, step.total) for step in reported] == [(32, 35), (35, 35), (256, 300), (300, 300)]


def test_a_picture_without_captions_gets_the_five_sentences_that_the_teacher_finds_nearest(
    teacher: Teacher, packed: list[CaptionedPicture], tmp_path: Path
) -> None:
    texts = tmp_path / "texts.txt"
    bank = ["all blue", "a b", *(f"{letter}{letter}" for letter in "abcdefgh")]
    texts.write_text("\n".join(bank[2:]))
    plain, captioned = replace(packed[0], captions=()), replace(packed[1], captions=("all blue", "a b"))

    pictures, embeddings = caption_by_teacher(teacher, [plain, captioned], texts, TOKENIZER, silent)

    images = teacher.embed_pictures([open_packed(picture.file, 32) for picture in (plain, captioned)])
    cosines = (teacher.embed_texts(bank) @ images[0]).tolist()
    assert len(set(pictures[0].captions)) == 5
    found = [cosines[bank.index(text)] for text in pictures[0].captions]
    assert found == pytest.approx(sorted(cosines, reverse=True)[:5], abs=1e-3)
    assert pictures[1] == captioned
    in_order = teacher.embed_texts(Captions.of(pictures).sentences)
    assert embeddings.images.numpy() == pytest.approx(images.numpy(), abs=1e-3)
    assert embeddings.texts.numpy() == pytest.approx(in_order.numpy(), abs=1e-3)

    with pytest.raises(DatasetError, match="no training pictures"):
        caption_by_teacher(teacher, [], None, TOKENIZER, silent)


def pieces(*words: str) -> Tokenizer:
    return Tokenizer(WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))


def test_texts_are_the_lines_of_the_file_without_blanks(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffa dog\r\n\r\n  a crème brûlée  \n\t\na cat".encode())

    assert read_texts(file) == ["a dog", "a crème brûlée", "a cat"]


@pytest.mark.parametrize("content", [None, b"", b"\n \n", "caf\u00e9".encode("latin-1")])
def test_a_file_without_sentences_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "texts.txt"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(DatasetError, match=r"texts\.txt.*--teacher-texts"):
        read_texts(file)


def test_prompts_are_made_of_whole_words_in_the_order_of_the_vocabulary() -> None:
    words = ["[PAD]", "[UNK]", "[unused1]", "!", "a", "of", "tree", "##tree", "1990", "été", "don't", "cat", "犬"]

    assert vocabulary_prompts(pieces(*words)) == ["a photo of a tree", "a photo of a cat"]
    with pytest.raises(DatasetError, match="--teacher-texts"):
        vocabulary_prompts(pieces("[UNK]", "a", "##b"))


def test_the_bank_is_the_captions_then_the_files_sentences_each_once_or_else_prompts(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("a bird\na cat\na bird\n")

    assert text_bank(["a dog", "a cat", "a dog"], file, pieces("tree")) == ["a dog", "a cat", "a bird"]
    assert text_bank([], file, pieces("tree")) == ["a bird", "a cat"]
    assert text_bank(["a dog"], None, pieces("tree")) == ["a dog"]
    assert text_bank([], None, pieces("tree")) == ["a photo of a tree"]


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_sentences_that_are_no_file_or_endless_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    UNSUITABLE[kind](tmp_path / "texts.txt")

    with in_time(), pytest.raises(DatasetError, match=r"texts\.txt \((not a regular file|larger than 64 MiB)\)"):
        read_texts(tmp_path / "texts.txt")


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_teacher_with_a_part_that_is_no_file_or_endless_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    make_tiny_clip(tmp_path)
    UNSUITABLE[kind](tmp_path / "config.json")

    with in_time(), pytest.raises(CheckpointInvalid, match=r"not a regular file|larger than 16 GiB"):
        Teacher.load(str(tmp_path))
