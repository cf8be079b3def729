"""Scripts under test: compiled for a made-up kernel and fed with made-up events. `kloupe.testing` is the way in."""
