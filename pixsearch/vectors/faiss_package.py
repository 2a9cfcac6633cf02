"""Which package brings FAISS: faiss-cpu or faiss-gpu, and never both, since each overwrites files of the other."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from pixsearch.errors import PixsearchError
from pixsearch.extras import pip
from pixsearch.model.gpu_drivers import NVIDIA


def require_faiss() -> None:
    """Check that one FAISS is installed, without importing it, which takes less than a millisecond.

    It looks for the two packages where the module is. In folders of their own, such as those of the system and of a
    virtual environment, they do not meet.

    Raises:
        PixsearchError: there is none, or half of one, or two. The hint is the command that puts it right.
    """
    spec = find_spec("faiss")
    folders = [] if spec is None else [Path(folder).parent for folder in spec.submodule_search_locations or ()]
    names = (name for folder in folders if folder.is_dir() for name in os.listdir(folder))  # noqa: PTH208  (no Paths)
    packages = {name[:9] for name in names if re.match(r"faiss_(cpu|gpu)[-_]", name)}  # also faiss-gpu-cu12
    install = pip("install", f"pixsearch[{'gpu' if NVIDIA.exists() else 'cpu'}]")
    again = f"Install one again with: {pip('uninstall', '--yes', 'faiss-cpu', 'faiss-gpu')} && {install}"
    if len(packages) > 1:
        raise PixsearchError("faiss-cpu and faiss-gpu are both installed and overwrite each other", again)
    if spec is not None and spec.origin is None:  # what pip leaves of one when it removes the other
        raise PixsearchError("FAISS is installed in part", again)
    if spec is None:
        raise PixsearchError("FAISS is not installed", f"Install it with: {install}")
