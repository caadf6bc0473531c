"""Stored windows as numpy and as tensors: `python examples/api/windows.py`.

For those of a service of your own, put its configuration in place of the example's, leave `store` out, and do
not read recordings: the collector has.
"""

import numpy as np

import iot_stream

with iot_stream.open("examples/occupancy/config.yml", store="sqlite:runs/api") as office:
    print(f"{office.read_recordings()} new windows from the recording")

    # All of them, a batch at a time: any number fits in memory.
    count, sums = 0, np.zeros(len(office.inputs()))
    for batch in office.batches():
        count += len(batch)
        sums += np.nansum(batch.x, axis=(0, 1))
    print(f"{count} windows of {', '.join(office.inputs())}")
    for name, mean in zip(office.inputs(), sums / count, strict=True):
        print(f"  {name:12} mean {mean:+.4f}")

    # The newest in one piece, with what is known of each.
    newest = office.windows(newest=500)
    labelled = (newest.labels >= 0) & ~newest.mixed
    print(f"x is {newest.x.shape}; {labelled.sum()} of them have a label, for nobody labels anything here")

    # The teacher sees other channels of the same moments.
    theirs = office.windows("teacher", newest=500)
    print(f"the teacher's are {theirs.x.shape}: {', '.join(office.inputs('teacher'))}")
