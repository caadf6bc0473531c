"""Selective upload, as a pipeline's devices are told of it."""

from iot_stream.config.settings import Pipeline
from iot_stream.cut import Cut
from iot_stream.errors import ConfigError
from iot_stream.formats import channels_of
from iot_stream.upload import DeviceUpload


def device_upload(pipeline: Pipeline) -> DeviceUpload | None:
    """What a device sends of its windows, if not all that it reads; raises ConfigError where the teacher
    would miss something.

    A device cuts the teacher's windows too where it has all their channels, and sends nothing for a teacher
    that sees none of them. For one that sees more than the device, the last readings of a window go along.
    """
    if pipeline.upload is None:
        return None
    student, teacher = pipeline.cut(pipeline.student), pipeline.cut(pipeline.teacher)
    own, theirs = set(pipeline.sources_of(student)), set(pipeline.sources_of(teacher))
    cuts: tuple[Cut, ...] = (student,)
    readings: tuple[str, ...] = ()
    if theirs <= own:
        cuts = (student,) if teacher == student else (student, teacher)
    elif theirs & own:
        _check_alone(teacher)
        readings = tuple(name for name in teacher.channels if _carries(pipeline, own, name))
    upload = pipeline.upload
    return DeviceUpload(budget=upload.budget, every=upload.every, cuts=cuts, readings=readings)


def sampled_source(pipeline: Pipeline, cut: Cut) -> int | None:
    """As of which source's the cut's cutter takes readings that came with a sample; None: not at all."""
    upload = device_upload(pipeline)
    student = pipeline.cut(pipeline.student)
    if upload is None or not upload.readings or cut == student:
        return None
    return min(set(pipeline.sources_of(cut)) & set(pipeline.sources_of(student)))


def _carries(pipeline: Pipeline, sources: set[int], channel: str) -> bool:
    return any(
        not pipeline.sources[index].channels or channel in channels_of(pipeline.sources[index])
        for index in sources
    )


def _check_alone(teacher: Cut) -> None:
    """Whether the teacher's windows can be cut from single readings, joined with what others say."""
    if teacher.length > 1 or teacher.period or teacher.join:
        raise ConfigError(
            "the teacher sees channels of the device and of others, which can be joined only where a window "
            "is one reading, without `rate` and `join`; let it see those of one of them alone"
        )
    for derived in teacher.derive:
        if derived.remembers:
            raise ConfigError(
                f"the teacher's {derived.name} remembers readings that will not go up; let it see channels "
                "that need none, or those of the device alone"
            )
    for limit in teacher.limits:
        if limit.jump is not None or limit.stuck:
            raise ConfigError(
                f"hygiene.limits.{limit.channel}: jump and stuck compare readings, not all of which go up; "
                "let the teacher see the channels of others alone"
            )
