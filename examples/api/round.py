"""A round: `python examples/api/round.py`. The first time it trains the teacher and the first student."""

import logging

import iot_stream

logging.basicConfig(level=logging.INFO, format="%(message)s")  # the stages, as they go

with iot_stream.open("examples/occupancy/config.yml", store="sqlite:runs/api") as office:
    office.read_recordings()
    done = office.run_round()
    gate = done.report["gate"]
    print(f"\n{done.id}: {done.outcome}, {gate['reason']}")
    print(f"it took {done.report['cost']['seconds']:.1f} s, {done.report['cost']['flops'] / 1e6:.0f} Mflop")

    print("\nWhy it changed the student")
    for sentences in office.explain(done.id).words.values():
        for sentence in sentences:
            print(f"- {sentence}")

    print("\nVersions")
    for version in office.versions():
        print(f"{version.version:>3}  {version.provenance['gate']['reason']}")
