"""The package of FAISS: faiss-cpu or faiss-gpu, but not both, since each overwrites files of the other."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from pixsearch.errors import PixsearchError
from pixsearch.extras import pip
from pixsearch.model.gpu_drivers import NVIDIA


def require_faiss() -> None:
    """Check that exactly one FAISS package is installed, in less than a millisecond, without importing it.

    Both packages are looked for in the folder of the module. In different folders, such as those of the system and of a
    virtual environment, they do not conflict.

    Raises:
        PixsearchError: no package, part of one, or both are installed. The hint is the command that fixes it.
    """
    spec = find_spec("faiss")
    folders = [] if spec is None else [Path(folder).parent for folder in spec.submodule_search_locations or ()]
    names = (name for folder in folders if folder.is_dir() for name in os.listdir(folder))  # noqa: PTH208  (no Paths)
    packages = {name[:9] for name in names if re.match(r"faiss_(cpu|gpu)[-_]", name)}  # also faiss-gpu-cu12
    install = pip("install", f"pixsearch[{'gpu' if NVIDIA.exists() else 'cpu'}]")
    again = f"Reinstall one of them with: {pip('uninstall', '--yes', 'faiss-cpu', 'faiss-gpu')} && {install}"
    if len(packages) > 1:
        raise PixsearchError("faiss-cpu and faiss-gpu are both installed and overwrite each other", again)
    if spec is not None and spec.origin is None:  # what pip leaves of one package after it has removed the other
        raise PixsearchError("FAISS is only partly installed", again)
    if spec is None:
        raise PixsearchError("FAISS is not installed", f"Install it with: {install}")
