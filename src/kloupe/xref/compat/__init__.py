"""Other tools' forms: cscope's lines and database, tags files."""
