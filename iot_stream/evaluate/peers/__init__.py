"""Peers: what others' models make of the same stream, from the same labels, on the same inputs.

`peer` says what one is; `refitted`, `neighbours`, `online` and `moa` are they; `lessons` says what comes
when, `prequential` asks and teaches in that order, `tuning` chooses settings on the bootstrap, `run` does it
all.
"""
