"""Makes and updates the index of a tree: with all processors, by content, and so that a half-made index is never used."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ...base.errors import FormatError, MissingFacts, PermissionNeeded, TargetError
from ...base.record import record
from ..walk import SourceFile, walk
from .batch import BATCH_BYTES, Batch, content_hash, index_batch, read_file, split_batches
from .segment import Block
from .store import IndexedFile, Store

Progress = Callable[[int, int], None]  # bytes done, bytes to do
_MOST_WORKERS = 8  # each needs some 100 MB
_MOST_SEGMENTS = 256  # beyond, lookups get slow: time to start anew


@record(frozen=True)
class IndexReport:
    """What an update did. `partial` names what could not be read."""

    path: str
    files: int
    indexed: int
    removed: int
    rebuilt: str  # why it was made anew, or ""
    partial: tuple[str, ...]


def update_index(root: str, path: str, progress: Progress | None = None, jobs: int = 0) -> IndexReport:
    """Bring the index at `path` in line with the tree; a missing, damaged or outdated one is made anew.

    Raises TargetError when another process is at it or the disk is full, MissingFacts when the tree cannot be read.
    """
    with _lock(path):
        skipped: list[str] = []
        files = list(walk(root, skipped))
        try:
            store = Store(path)
        except (MissingFacts, FormatError) as error:
            return _rebuild(root, path, files, skipped, progress, jobs, str(error))
        try:
            report = _update(store, root, files, skipped, progress, jobs)
        except FormatError as error:
            report = None
            reason = str(error)
        else:
            reason = "most of it was outdated"
        finally:
            store.close()
        return report or _rebuild(root, path, files, skipped, progress, jobs, reason)


@contextmanager
def _lock(path: str) -> Iterator[None]:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise PermissionNeeded(
            f"cannot write an index to {os.path.dirname(path)}: {error.strerror}", hint="Choose a folder: --index DIR"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TargetError("this tree is being indexed by another kloupe", hint="Wait until it is done.") from error
        yield
    finally:
        os.close(handle)


def _rebuild(
    root: str, path: str, files: list[SourceFile], skipped: list[str], progress: Progress | None, jobs: int, why: str
) -> IndexReport:
    fresh = path + ".new"
    with suppress(FileNotFoundError):
        os.unlink(fresh)
    try:
        store = Store(fresh, create=True)
        try:
            store.begin()
            for share, batch in _batches(root, files, progress, jobs):
                _add(store, share, batch, skipped)
            store.set_fact("root", os.path.abspath(root))
            store.set_fact("partial", "\n".join(skipped))
            store.commit()
        finally:
            store.close()
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
    return IndexReport(path, len(files), len(files), 0, why, tuple(skipped))


def _update(
    store: Store, root: str, files: list[SourceFile], skipped: list[str], progress: Progress | None, jobs: int
) -> IndexReport | None:
    """Bring a store up to date. None: better made anew."""
    known = store.files()
    changed = [file for file in files if known.get(file.path) != (file.size_bytes, file.mtime_ns)]
    gone = known.keys() - {file.path for file in files}
    if len(changed) * 2 > len(files) or len(store.segments()) > _MOST_SEGMENTS:
        return None
    store.begin()
    try:
        pending = list(_with_new_content(store, root, changed))
        for share, batch in _batches(root, pending, progress, jobs):
            _add(store, share, batch, skipped)
        store.remove_files(gone)
        store.set_fact("partial", "\n".join(skipped))
        store.commit()
    except BaseException:
        store.rollback()
        raise
    return IndexReport(store.path, len(files), len(pending), len(gone), "", tuple(skipped))


def _with_new_content(store: Store, root: str, files: list[SourceFile]) -> Iterator[SourceFile]:
    """Of changed files, those whose content the index has not seen. The others are only noted."""
    for file in files:
        data = read_file(root, file.path)
        text = store.text_of_content(content_hash(data)) if data is not None else None
        if text is None:
            yield file
        else:
            store.put_files([IndexedFile(file.path, file.size_bytes, file.mtime_ns, text)])


def _add(store: Store, share: list[SourceFile], batch: Batch, skipped: list[str]) -> None:
    first = store.add_segment((Block(*pair) for pair in batch.blocks), batch.contents)
    store.put_files(
        IndexedFile(file.path, file.size_bytes, file.mtime_ns, first + number)
        for file, number in zip(share, batch.numbers, strict=True)
        if number is not None
    )
    unreadable = [file.path for file, number in zip(share, batch.numbers, strict=True) if number is None]
    store.remove_files(unreadable)
    skipped += unreadable


def _batches(
    root: str, files: list[SourceFile], progress: Progress | None, jobs: int
) -> Iterator[tuple[list[SourceFile], Batch]]:
    workers = min(jobs or len(os.sched_getaffinity(0)), _MOST_WORKERS)
    shares = split_batches(files, BATCH_BYTES)
    # Many files are much work: with a short share at the end all processors end together.
    shares.sort(key=len, reverse=True)
    total, done = sum(file.size_bytes for file in files), 0
    for share, batch in zip(shares, _in_parallel(root, shares, workers), strict=True):
        done += sum(file.size_bytes for file in share)
        if progress is not None:
            progress(done, total)
        yield share, batch


def _in_parallel(root: str, shares: list[list[SourceFile]], workers: int) -> Iterator[Batch]:
    workers = min(workers, len(shares))
    if workers <= 1:
        yield from (index_batch(root, share) for share in shares)
        return
    from multiprocessing import get_context

    with get_context("fork").Pool(workers, _quiet_worker) as pool:
        yield from pool.imap(_index_share, ((root, share) for share in shares))


def _index_share(share: tuple[str, list[SourceFile]]) -> Batch:
    return index_batch(*share)


def _quiet_worker() -> None:
    """An interrupt is the parent's matter; it ends its workers. They make no cycles, and many lists: collecting garbage costs a fifth."""
    import gc
    import signal

    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
