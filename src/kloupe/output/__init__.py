"""Values to text and JSON. Prints values, never decides them; knows nothing of engines."""
