"""Where a training starts that does not go on from a checkpoint: a CNN and a language model."""

from __future__ import annotations

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch_trainer.starting_weights.cnn import read_cnn
from pixsearch_trainer.starting_weights.language_model import read_language_model


def assemble(
    backbone: str, cnn: str, language_model: str, **pictures: object
) -> tuple[PixelBertForRetrieval, PixelBertProcessor]:
    """A Pixel-BERT of a trained CNN and a trained BERT, with fresh projections, maps and heads.

    Args:
        backbone: a key of `pixsearch.model.backbones.BACKBONES`.
        cnn: see `read_cnn`.
        language_model: see `read_language_model`.
        pictures: fields of `PixelBertConfig` that say how pictures are seen: input_size, longest_edge, resize, pool.

    Raises:
        ModelNotFound, CheckpointInvalid: a source is not there or is something else.
    """
    state = read_cnn(backbone, cnn)
    bert, tokenizer = read_language_model(language_model)
    config = PixelBertConfig(
        backbone=backbone,
        vocabulary_size=bert.config.vocab_size,
        width=bert.config.hidden_size,
        layers=bert.config.num_hidden_layers,
        heads=bert.config.num_attention_heads,
        feed_forward=bert.config.intermediate_size,
        dropout=bert.config.hidden_dropout_prob,
        embedding_size=bert.config.hidden_size,
        **pictures,  # type: ignore[arg-type]
    )
    model = PixelBertForRetrieval(config)
    model.model.backbone.load_state_dict(state)
    words = bert.embeddings.state_dict()
    words["position_embeddings.weight"] = words["position_embeddings.weight"][: config.max_words]
    model.model.word_embedding.load_state_dict(words)
    model.model.layers.load_state_dict(bert.encoder.layer.state_dict())
    model.model.pixel_norm.load_state_dict(bert.embeddings.LayerNorm.state_dict())
    return model.eval(), PixelBertProcessor(config, tokenizer)
