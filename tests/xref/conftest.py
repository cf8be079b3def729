"""The judged tree: a little kernel made for these tests, copied so that its index lies outside of the repository."""

import shutil
from pathlib import Path

import pytest

from kloupe.source import Tree

SOURCE = Path(__file__).parent / "tree"


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The tree with an index. Not to be changed."""
    root = tmp_path_factory.mktemp("tree") / "linux"
    shutil.copytree(SOURCE, root)
    tree = Tree(root, machine="x86")
    tree.index()
    return tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tree to change."""
    root = tmp_path / "linux"
    shutil.copytree(SOURCE, root)
    return root
