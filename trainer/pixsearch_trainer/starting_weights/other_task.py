"""A network that starts from a checkpoint of another task."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from pixsearch.model.checkpoints import build_network
from pixsearch.model.processor import PixelBertProcessor

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network

Fresh = Literal["nothing", "maps", "all"]
"""What of a network knows nothing yet: the maps of the first stage, after another task; or all that joins its parts."""


def for_task(
    task: str, network: Network, processor: PixelBertProcessor, answers: tuple[str, ...] = ()
) -> tuple[Network, PixelBertProcessor]:
    """The network itself where it is of that task (and has those answers); else one of that task that shares its CNN,
    its Transformer and the heads that both have, with the other heads fresh.
    """
    if network.config.task == task and network.config.answers == answers:
        return network, processor
    config = dataclasses.replace(network.config, task=task, answers=answers, calibration=None)
    other = build_network(config)
    known = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(("model.", "itm_head."))}
    own = other.state_dict()
    other.load_state_dict({**own, **{name: tensor for name, tensor in known.items() if name in own}})
    return other.eval(), PixelBertProcessor(config, processor.tokenizer)
