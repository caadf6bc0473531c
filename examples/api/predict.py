"""A version at work: `python examples/api/predict.py`, after `round.py`."""

from datetime import datetime, timedelta

import numpy as np

import iot_stream

with iot_stream.open("examples/occupancy/config.yml", store="sqlite:runs/api") as office:
    student = office.load()  # the newest; load(1) is the first
    print(student)

    # Stored windows, many at once, beside what the teacher says of them.
    windows = office.windows()
    said = student.predict(windows.x)
    heard = windows.teacher >= 0
    print(
        f"says what the teacher says on {np.mean(said[heard] == windows.teacher[heard]):.1%} of {heard.sum()}"
    )

    # One of them.
    print(student.predict_one(windows.x[-1]))

    # Readings, as the sensor gives them: four hours of an afternoon in which people come.
    begin = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
    times = [begin + timedelta(minutes=minute) for minute in range(240)]
    came = np.clip(np.arange(240) - 120, 0, None)
    noise = np.random.default_rng(0).normal(size=240)
    readings = {
        "temperature": 21 + came / 120,
        "humidity": 26 + came / 60,
        "co2": 450 + 4 * came + (1 + came / 20) * noise,
    }
    print(student.predict_one({name: values[:120] for name, values in readings.items()}, times[:120]))
    print(student.predict_one(readings, times))
