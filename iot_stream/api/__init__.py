"""iot-stream from Python: in a notebook, in a script of one's own. `docs/tutorial.md` walks through it."""
