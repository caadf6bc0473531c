"""Replay: the live service's code on a recording, under a virtual clock, beside honest rivals.

`stream` is what the service would have seen, `course` one seed from the bootstrap to the last window,
`figures` what it came to (docs/results.md), `page` the report.
"""
