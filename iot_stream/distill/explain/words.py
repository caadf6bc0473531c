"""An explanation in sentences. What the numbers do not show is not said: where nothing drifted, or where too
few windows tell anything, that is the sentence."""

from collections.abc import Mapping, Sequence

from iot_stream.distill.explain.why import Decision, Disagreement, Distance, Drift, Learnt, Moved

SURE = 0.8
"""Who gives a class less than this is unsure of it."""

SHIFT = 0.05  # of the decision: a share that moves by less is as it was
ROUGH = 0.2  # attributions that miss more of the decisions than this
FAR, TIMES = 0.25, 1.5  # drifted: further than this (in deviations), and than so many times the usual
LITTLE_MISSING = 0.02
MENTIONED = 3
ENOUGH = 20  # windows of a group whose rate is told


def decision(found: Decision | None, judging: int) -> list[str]:
    """What the new student's decisions rest on, and what of that is new."""
    if found is None:
        return [_too_few(judging) + "what drives the decision."]
    largest = sorted(found.channels.items(), key=lambda item: -item[1][1])[:MENTIONED]
    rests = _listed([f"{name} ({percent(after)})" for name, (_, after) in largest if after >= SHIFT / 2])
    told = [f"On {found.windows} held-out windows the new student's decision rests most on {rests}."]
    moved = _shifts(found.channels)
    told.append(
        f"Compared with the running student, {_listed(moved)}."
        if moved
        else "That is much as with the running student: no input's share moved by 5 points."
    )
    if found.bands:
        name, (was, now) = max(found.bands.items(), key=lambda item: item[1][1])
        told.append(f"By frequency, {_band(name)} decides most ({percent(was)} → {percent(now)}).")
    if max(found.gap) > ROUGH:
        told.append(f"These shares are rough: they miss {percent(max(found.gap))} of what they explain.")
    return told


def _shifts(shares: Mapping[str, tuple[float, float]]) -> list[str]:
    """Those that moved most: "co2_6h matters twice as much (31 % → 62 % of the decision)"."""
    moved = sorted(shares.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
    return [
        f"{name} matters {_compared(was, now)} ({percent(was)} → {percent(now)} of the decision)"
        for name, (was, now) in moved[:MENTIONED]
        if abs(now - was) >= SHIFT
    ]


def _compared(was: float, now: float) -> str:
    if min(was, now) < 0.02:
        return "where it hardly did" if now > was else "hardly any more"
    ratio = max(was, now) / min(was, now)
    if ratio < 1.8:
        return "more" if now > was else "less"
    if ratio < 2.5:
        return "twice as much" if now > was else "half as much"
    return f"{ratio:.0f} times {'as much' if now > was else 'less'}"


def moved(found: Moved | None, judging: int) -> list[str]:
    """Which classes gained and lost windows, and whether that was right."""
    if found is None:
        return [_too_few(judging) + "which classes moved."]
    if not found.changed:
        return [f"None of {_count(found.windows, 'held-out window')} changed its class."]
    told = [
        f"{found.changed:,} of {_count(found.windows, 'held-out window')} "
        f"({percent(found.changed / found.windows)}) changed class from the running student to the new one."
    ]
    gains = {name: after - before for name, (before, after) in found.classes.items()}
    told += [_net(name, gains[name], found.ways) for name in _telling(gains)]
    if not gains:
        told.append("No class gained or lost windows in all: they were exchanged.")
    rights = f"{found.mended} became right and {found.broken} became wrong"
    if found.basis == "teacher":
        told.append(f"By the teacher's word, {rights}.")
    elif found.known:
        known = "one" if found.known == 1 else f"{found.known:,}"
        told.append(f"Of the {known} whose label is known, {rights}.")
    else:
        told.append("Whether that was right is not known: none of them has a label.")
    return told


def _telling(gains: Mapping[str, int]) -> list[str]:
    """The class that gained most, and the one that lost most, unless that says the same again."""
    if not gains:
        return []
    most, least = max(gains, key=lambda name: gains[name]), min(gains, key=lambda name: gains[name])
    return [most] if len(gains) == 2 or most == least else [most, least]


def _net(name: str, gain: int, ways: Sequence[tuple[str, str, int]]) -> str:
    gained = gain > 0
    others = [
        (before if gained else after) for before, after, _ in ways if name == (after if gained else before)
    ]
    mostly = f", mostly {'from' if gained else 'to'} '{others[0]}'" if others else ""
    return f"'{name}' {'gained' if gained else 'lost'} {_count(abs(gain), 'window')} in all{mostly}."


def disagreement(found: Disagreement | None, judging: int) -> list[str]:
    """How often, and where most, the new student does not say what the teacher says."""
    if found is None:
        return [_too_few(judging) + "where teacher and student disagree."]
    windows = _count(found.windows, "held-out window")
    before = f"(the running student on {percent(found.apart_before / found.windows)})"
    if not found.apart:
        return [f"Teacher and new student disagree on none of {windows} {before}."]
    overall = found.apart / found.windows
    told = [f"Teacher and new student disagree on {percent(overall)} of {windows} {before}."]
    where = []
    if worst := _worst(found.classes, overall):
        where.append(f"where the teacher says '{worst[0]}' ({percent(worst[1])} of {worst[2]:,})")
    if worst := _worst(found.devices, overall):
        where.append(f"on {worst[0]} ({percent(worst[1])} of {worst[2]:,})")
    if where:
        told.append(f"Most often {_listed(where)}.")
    if found.apart >= 5:
        unsure = found.unsure or "none"
        told.append(
            f"In {unsure} of these {found.apart} the teacher itself is unsure (below {percent(SURE)})."
        )
    if found.labelled:
        told.append(
            f"Labels know {found.labelled} of these: the teacher is right in {found.teacher_right}, the "
            f"student in {found.student_right}."
        )
    return told


def _worst(groups: Mapping[str, tuple[int, int]], overall: float) -> tuple[str, float, int] | None:
    """The group that is clearly apart more often than all, if there is one."""
    rates = [(name, apart / of, of) for name, (apart, of) in groups.items() if of >= ENOUGH and apart >= 3]
    worst = max(rates, key=lambda each: each[1], default=None)
    return worst if worst is not None and worst[1] >= 1.25 * overall else None


def drift(found: Drift | None, recent: int) -> list[str]:
    """Which inputs left what the bootstrap had, by how much, and by how much since the last round."""
    if found is None:
        came = f"Only {_count(recent, 'window')} came" if recent else "No window came"
        return [f"{came} since the last round: too few to say what drifted."]
    far = _far(found)
    swings = [each for each in found.bands if swings_differ(*each[2:])][:2]
    told = [*far] if far or swings else [_near(found)]
    if swings:
        strengths = [f"of {name} at {band} by {_deviations(distance)}" for name, band, distance, _ in swings]
        also = "Also, swings" if far else f"In {_count(found.recent, 'window')} since the last round, swings"
        told.append(f"{also} changed in strength: {_listed(strengths)}.")
        if not far:
            told.append("Apart from that, no input's values are further off than in the bootstrap itself.")
    for name, each in found.channels.items():
        was, now = each.missing
        if abs(now - was) >= LITTLE_MISSING:
            told.append(
                f"{name} is missing in {percent(now)} of recent readings ({percent(was)} in the bootstrap)."
            )
    return told


def _far(found: Drift) -> list[str]:
    far = [(name, each) for name, each in found.channels.items() if drifted(each)]
    if not far:
        return []
    listed = _listed([_by(name, each) for name, each in far[:MENTIONED]])
    several = len(far) - MENTIONED
    more = (
        f" ({several}{' or more' if len(far) == len(found.channels) < found.inputs else ''} others by less)"
    )
    over = _count(found.recent, "window")
    told = [
        f"What drifted from the bootstrap, in {over} since the last round: {listed}{more * (several > 0)}."
    ]
    known = {name: each for name, each in found.channels.items() if each.step is not None}
    steps = sorted(
        (name for name in known if _stepped(known[name])), key=lambda name: -(known[name].step or 0)
    )
    if steps:
        told.append(
            f"New since the round before: {steps[0]} moved by {_deviations(known[steps[0]].step or 0)}."
        )
    elif known:
        told.append(
            "It is not new: since the round before nothing moved by more than the bootstrap itself does."
        )
    return told


def _near(found: Drift) -> str:
    name, each = next(iter(found.channels.items()))
    windows = _count(found.recent, "window")
    return (
        f"Nothing drifted beyond what the bootstrap itself varies by: in {windows} since the last round the "
        f"furthest input is {_by(name, each)}."
    )


def drifted(each: Distance) -> bool:
    """Whether an input is further off than stretches of the bootstrap explain."""
    return each.distance > max(FAR, TIMES * each.usual)


def swings_differ(distance: float, usual: float) -> bool:
    """The same, of the strength of an input's swings in a band."""
    return distance > max(FAR, TIMES * usual)


def _stepped(each: Distance) -> bool:
    return each.step is not None and each.step > max(FAR, TIMES * each.usual_step)


def _by(name: str, each: Distance) -> str:
    if each.constant:
        return f"{name}, which never changed in the bootstrap, by {each.distance:.2g} in its own unit"
    return f"{name} by {_deviations(each.distance)} (usual: up to {_figure(each.usual)})"


def learnt(found: Learnt) -> list[str]:
    """From which devices and times the round learnt, and what was kept out to judge by."""
    older = f"{found.reservoir:,} older ones from the reservoir"
    if found.recent:
        many = found.device_count > 4
        devices = f"{found.device_count} devices" if many else _listed(list(found.devices))
        when = f"{_moment(found.begin)} to {_moment(found.end)} UTC"
        told = f"Learnt from {_count(found.recent, 'recent window')} of {devices} ({when}) and {older}."
    else:
        told = f"No recent window could be learnt from; {older} were."
    labels = f"{found.labelled:,}" if found.labelled else "None"
    rest = f"; {found.between:,} were used for neither" if found.between else ""
    return [
        told,
        f"{labels} of the recent ones had a label. {found.judging:,} were held out to judge by{rest}.",
    ]


def excluded(windows: int) -> str:
    """Of those that a person has taken out: known to who ran the round, not to the round."""
    were = "was" if windows == 1 else "were"
    return f"{_count(windows, 'window')} {were} left out, for a person excluded them."


def _moment(text: str) -> str:
    """2015-02-11T08:00:00.000Z → 2015-02-11 08:00:00"""
    return text[:19].replace("T", " ")


def _band(name: str) -> str:
    return "the window's level" if name == "level" else name


def _too_few(judging: int) -> str:
    if not judging:
        return "No window was held out to judge by: nothing tells "
    return f"Only {_count(judging, 'window')} {'was' if judging == 1 else 'were'} held out: too few to say "


def _deviations(value: float) -> str:
    return f"{_figure(value)} standard deviations"


def _figure(value: float) -> str:
    """Two places below one, one above, and none of a value that is beyond all measure."""
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 100 else f"{value:.2g}"


def percent(share: float) -> str:
    """Whole percents from 10 on; what is not nothing is not shown as nothing."""
    value = 100 * share
    if 0 < value < 0.1:
        return "under 0.1 %"
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def _count(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _listed(things: Sequence[str]) -> str:
    return ", ".join(things[:-1]) + (" and " if len(things) > 1 else "") + "".join(things[-1:])
