"""Pictures from the wire to a student: published, stored as windows, learnt from, judged as on a device."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iot_stream import labelling, topics
from iot_stream.clock import wall
from iot_stream.config.learning import DistillSettings
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture, spec_for
from iot_stream.mqtt import Connection
from iot_stream.service.broker import Broker
from tests.ingest.test_collector import collecting
from tests.waiting import wait_until

CONFIG = """\
broker: {url}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  yard:
    sources:
      - {{topic: "{prefix}-camera/{{device}}", format: frame, channels: {{p: 16x12}}}}
    window: {{length: 1, lateness: 0 s}}
    task: {{classify: [left, above]}}
    student: {{arch: mobilenet_v2, width: 16}}
"""
WIDTH, HEIGHT = 16, 12
MOST = 8  # pictures of a device


def picture(kind: str, seed: int) -> np.ndarray:
    """160 wide, 120 high, one half light, one dark, with noise: no pixel alone, and no mean, tells which."""
    rng = np.random.default_rng(seed)
    upright = np.zeros((120, 160))
    if kind == "left":
        upright[:, :80] = 1
    else:
        upright[:60] = 1
    if rng.random() < 0.5:
        upright = 1 - upright
    return (np.clip(0.2 + 0.6 * upright + 0.1 * rng.standard_normal(upright.shape), 0, 1) * 255).astype(
        np.uint8
    )


def encoded(pixels: np.ndarray, form: str) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.long
def test_from_the_camera_to_the_student(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.format(url=broker.url, folder=tmp_path / "store", prefix=prefix))
    shown: dict[str, list[np.ndarray]] = {}
    with collecting(path) as (config, store):
        camera = Connection(config.address, f"{prefix}-cameras", lambda _: None)
        camera.start()
        begin = wall()
        for n, (kind, form) in enumerate((k, f) for k in ("left", "above") for f in ("JPEG", "PNG")):
            device = f"{kind}-{form}"
            shown[device] = [picture(kind, 100 * n + i) for i in range(MOST)]
            for pixels in shown[device]:
                camera.publish_and_wait(f"{prefix}-camera/{device}", encoded(pixels, form))
            label = topics.LabelMessage(begin, kind, until=wall() + 10**9)
            topic = topics.LABEL.of(prefix=prefix, pipeline="yard", device=device)
            camera.publish_and_wait(topic, topics.encode(label))
        pipeline = config.pipelines["yard"]
        cut = pipeline.cut(pipeline.student)
        wait_until(
            lambda: sum(n for _, _, n, *_ in store.journal.window_stats("yard")) == 4 * MOST, "windows"
        )
        wait_until(lambda: len(store.journal.labels("yard")) == 4, "labels")
        found = store.journal.windows("yard", cut.id, (cut.length, len(cut.inputs)))
        labels, _ = labelling.join(found.devices, found.starts, found.ends, store.journal.labels("yard"))
        camera.stop()
    assert found.x.shape == (4 * MOST, 1, WIDTH * HEIGHT)
    for device, pictures in shown.items():
        stored = found.x[found.devices == device].reshape(-1, HEIGHT, WIDTH)
        small = [pixels.reshape(HEIGHT, 10, WIDTH, 10).mean(axis=(1, 3)) / 255 for pixels in pictures]
        np.testing.assert_allclose(stored, small, atol=0.05)  # JPEG loses a little
        assert set(labels[found.devices == device]) == {pipeline.classes.index(device.split("-")[0])}

    logits = 8 * np.eye(2, dtype=np.float32)[labels] - 4
    material = Material(found.devices, found.starts, found.ends, found.x, logits, labels)
    spec = spec_for(material, cut, pipeline.classes, masks=False)
    architecture = Architecture.of(pipeline.student, spec, seed=0)
    net, _ = architecture.first(material, DistillSettings(first_steps=80, batch=16, rate=3e-3), seed=0)
    model = architecture.pack(net).model()
    model.self_test()
    new = [(kind, picture(kind, 1000 + i)) for i in range(10) for kind in pipeline.classes]
    x = [pixels.reshape(HEIGHT, 10, WIDTH, 10).mean(axis=(1, 3)).ravel() / 255 for _, pixels in new]
    said = model.logits(np.array(x, np.float32)[:, None]).argmax(axis=1)
    truth = [pipeline.classes.index(kind) for kind, _ in new]
    assert (said == truth).mean() >= 0.9
