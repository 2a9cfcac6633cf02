"""A workaround that makes torchvision importable with a CPU build of torch.

Import this module before torchvision and transformers. The Linux wheels of torchvision on PyPI are linked against a
CUDA build of torch. With a CPU build, torchvision's compiled operators do not load, and registering their meta
functions fails with "operator torchvision::nms does not exist". pixsearch does not use these operators, only the models
and transforms written in Python. The module that registers the meta functions is therefore replaced by an
empty one.
"""

import sys
from types import ModuleType

import torch

if torch.version.cuda is None and torch.version.hip is None:
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
