"""Puts a question to many files, by several processes when there are enough of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from .answers import Answer
from .index.batch import read_file
from .text import SourceText

T = TypeVar("T")
_FILES_PER_SHARE = 128
_WORTH_A_PROCESS = 512


class Question:
    """A function of a file and further arguments, as something that another process can run.

    `needs`: bytes without which a file has no answer, so that most files are only looked at.
    """

    def __init__(self, function: Callable[..., Iterable[T]], *arguments: object, needs: Sequence[bytes] = ()) -> None:
        self.function = function
        self.arguments = arguments
        self.needs = tuple(needs)

    def ask(self, root: str, paths: Sequence[str]) -> tuple[list[object], list[str]]:
        """The answers of some files in order, and the files that could not be read."""
        found: list[object] = []
        unreadable = []
        for path in paths:
            data = read_file(root, path)
            if data is None:
                unreadable.append(path)
            elif not self.needs or any(part in data for part in self.needs):
                found += self.function(SourceText(path, data), *self.arguments)
        return found, unreadable


def ask_files(root: str, paths: Sequence[str], question: Question, jobs: int = 0) -> Answer[object]:
    """The answers of all files, in their order."""
    workers = jobs or len(os.sched_getaffinity(0))
    if workers == 1 or len(paths) < _WORTH_A_PROCESS:
        return Answer(*question.ask(root, paths))
    from multiprocessing import get_context

    shares = [(root, paths[at : at + _FILES_PER_SHARE], question) for at in range(0, len(paths), _FILES_PER_SHARE)]
    found: list[object] = []
    unreadable: list[str] = []
    with get_context("fork").Pool(min(workers, len(shares))) as pool:
        for some, bad in pool.imap(_ask_share, shares):
            found += some
            unreadable += bad
    return Answer(found, unreadable)


def _ask_share(share: tuple[str, Sequence[str], Question]) -> tuple[list[object], list[str]]:
    root, paths, question = share
    return question.ask(root, paths)
