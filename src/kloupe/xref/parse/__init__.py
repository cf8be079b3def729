"""One text taken apart: comments, outline, definitions, members, uses. No index and no tree in here."""
