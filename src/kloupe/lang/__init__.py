"""The language: text to frozen nodes. Opens no file and asks no kernel."""
