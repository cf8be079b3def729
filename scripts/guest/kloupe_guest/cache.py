"""The cache folder: everything fetched or built lives in it and can be deleted at any time.

``$KLOUPE_GUEST_CACHE``, else ``$XDG_CACHE_HOME/kloupe-guests``, else ``~/.cache/kloupe-guests``.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def get_cache_dir() -> Path:
    """Give the cache folder, made if needed."""
    named = os.environ.get("KLOUPE_GUEST_CACHE")
    if named:
        folder = Path(named).absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "kloupe-guests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Hold the named lock of the cache, so that two runs do not build the same thing at once."""
    with open(get_cache_dir() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_once(folder: Path, build: Callable[[Path], None], *, again: bool = False) -> Path:
    """Give ``folder``, filled by ``build`` if it is not there yet.

    ``build`` fills a temporary sibling that gets its name at the end, so a build that failed leaves nothing
    that looks finished.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(f"build-{folder.name}"):
        if folder.exists() and not again:
            return folder
        making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            build(making)
            making.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return folder
