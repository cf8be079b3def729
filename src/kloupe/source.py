"""The kernel's source from Python: `Tree`, its questions, and the types of its answers.

tree = kloupe.source.Tree("/usr/src/linux")
tree.index()
for found in tree.definitions("vfs_read"):
    print(found.file, found.line)
"""

from .xref.answers import Answer, Call, Definition, Implementer, Member, Reference
from .xref.index.build import IndexReport
from .xref.kconfig import ConfigEntry, ConfigSymbol
from .xref.tree import Tree

__all__ = [
    "Answer",
    "Call",
    "ConfigEntry",
    "ConfigSymbol",
    "Definition",
    "Implementer",
    "IndexReport",
    "Member",
    "Reference",
    "Tree",
]
