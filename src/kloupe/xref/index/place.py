"""Where the index of a tree lies."""

from __future__ import annotations

import hashlib
import os

FOLDER = ".kloupe"
FILE = "source.sqlite"


def index_path(root: str, folder: str = "") -> str:
    """The file of a tree's index: in the folder that is given, else in the tree, else, for trees one cannot write to, in the user's cache."""
    if folder:
        return os.path.join(os.path.abspath(folder), FILE)
    inside = os.path.join(root, FOLDER)
    if os.path.exists(os.path.join(inside, FILE)) or os.access(inside if os.path.isdir(inside) else root, os.W_OK):
        return os.path.join(inside, FILE)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.sha1(root.encode(), usedforsecurity=False).hexdigest()[:16]
    return os.path.join(cache, "kloupe", "source", name, FILE)
