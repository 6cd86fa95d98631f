"""The generator of the built-in dialogues; `tools/make_dialogues.py` is its entry point."""
