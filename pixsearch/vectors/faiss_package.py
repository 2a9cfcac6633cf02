"""Check the installed FAISS package: faiss-cpu or faiss-gpu, but not both, as each overwrites the other's files."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from pixsearch.errors import PixsearchError
from pixsearch.extras import pip
from pixsearch.model.gpu_drivers import NVIDIA


def require_faiss() -> None:
    """Check that exactly one FAISS package is installed. This takes less than a millisecond and does not import it.

    Only the folder that contains the `faiss` module is searched, because packages in different folders, such as the
    system's and a virtual environment's, do not conflict.

    Raises:
        PixsearchError: no package, only part of one, or both are installed. The hint contains the command to fix this.
    """
    spec = find_spec("faiss")
    folders = [] if spec is None else [Path(folder).parent for folder in spec.submodule_search_locations or ()]
    names = (name for folder in folders if folder.is_dir() for name in os.listdir(folder))  # noqa: PTH208  (no Paths)
    packages = {name[:9] for name in names if re.match(r"faiss_(cpu|gpu)[-_]", name)}  # also faiss-gpu-cu12
    install = pip("install", f"pixsearch[{'gpu' if NVIDIA.exists() else 'cpu'}]")
    again = f"Reinstall FAISS with: {pip('uninstall', '--yes', 'faiss-cpu', 'faiss-gpu')} && {install}"
    if len(packages) > 1:
        raise PixsearchError("faiss-cpu and faiss-gpu are both installed, but they overwrite each other's files", again)
    if spec is not None and spec.origin is None:  # what is left of one package after pip has removed the other
        raise PixsearchError("the FAISS installation is incomplete", again)
    if spec is None:
        raise PixsearchError("FAISS is not installed", f"Install it with: {install}")
