"""A workaround to import torchvision with a CPU build of torch; import it before torchvision and transformers.

PyPI's Linux wheel of torchvision is linked against CUDA torch. With a CPU torch its compiled operators do not load, and
registering their meta functions fails with "operator torchvision::nms does not exist". We use none of them (models and
transforms are Python), so an empty module replaces the one that registers them.
"""

import sys
from types import ModuleType

import torch

if torch.version.cuda is None and torch.version.hip is None:
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
