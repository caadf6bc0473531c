"""A teacher that follows its classes: regimes found by itself, adaptation without a label, replay moved."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from iot_stream.config import Network
from iot_stream.config.learning import TrainSettings
from iot_stream.cut import Cut
from iot_stream.distill import teachers
from iot_stream.distill.teachers import Lessons, Teacher
from iot_stream.distill.teachers.drift import BEGUN, BLOCK, LOUDEST, DriftMember, Watch
from iot_stream.errors import ModelError

NAMES = ("a", "b", "c", "d", "e", "f")
CUT = Cut(NAMES, NAMES, length=1, hop=1)
CLASSES = ("one", "two", "three")
SETTINGS = TrainSettings(tune_steps=1)
ROWS = 240


class World:
    """Three classes in six channels; from regime to regime each moves far along two directions."""

    def __init__(self, seed: int, regimes: int, absent: dict[int, int] | None = None) -> None:
        rng = np.random.default_rng(seed)
        means = [rng.normal(size=(3, 6)) * np.where(np.arange(6) < 2, 6, 1.2)]
        for _ in range(regimes - 1):
            step = 3 * rng.normal(size=(3, 6)) * (np.arange(6) < 2)
            means.append(means[-1] + step)
        xs, ys = [], []
        for number, mean in enumerate(means):
            y = rng.choice([k for k in range(3) if k != (absent or {}).get(number)], ROWS)
            xs.append(mean[y] + 0.7 * rng.normal(size=(ROWS, 6)))
            ys.append(y)
        self.means = np.array(means)
        self.x = np.concatenate(xs)[:, None, :].astype(np.float32)
        self.y = np.concatenate(ys).astype(np.int64)
        self.ends = 10**9 * np.arange(1, len(self.y) + 1)

    def lessons(self, first: int, last: int, labels: float = 1.0) -> Lessons:
        """Rows of some regimes, of a share of which the class is told."""
        rows = slice(first * ROWS, last * ROWS)
        told = np.random.default_rng(0).random(len(self.y[rows])) < labels
        return Lessons(self.x[rows], np.where(told, self.y[rows], -1), ends=self.ends[rows])


def network(**options: object) -> Network:
    return Network.parse({"arch": "drift", **options})


def taught(lessons: Lessons, chosen: Network | None = None) -> Teacher:
    chosen = chosen or network()
    return teachers.train("the key", lessons, CUT, CLASSES, False, chosen, SETTINGS, 0)[0]


def through(teacher: Teacher, known: Lessons, fresh: Lessons, step: int = 20) -> Teacher:
    """Rounds, each with all windows that have come."""
    for count in range(step, len(fresh.y) + 1, step):
        teacher, _ = teachers.tune(teacher, fresh.rows(np.arange(count)), known, SETTINGS, 0)
    return teacher


def right(teacher: Teacher, lessons: Lessons) -> float:
    return float((teacher.logits(lessons.x).argmax(axis=1) == lessons.y).mean())


def member(teacher: Teacher) -> DriftMember:
    (found,) = teacher.members
    assert isinstance(found, DriftMember)
    return found


@pytest.fixture(scope="module")
def world() -> World:
    return World(0, 8)


@pytest.fixture(scope="module")
def followed(world: World) -> tuple[Teacher, Teacher]:
    """After four labelled regimes, and after four more of which nobody told a class."""
    known = world.lessons(0, 4)
    first = taught(known)
    return first, through(first, known, world.lessons(4, 8, labels=0))


def test_it_finds_when_regimes_begin(world: World, followed: tuple[Teacher, Teacher]) -> None:
    for teacher, regimes in zip(followed, (range(1, 4), range(1, 8)), strict=True):
        found = np.searchsorted(world.ends, member(teacher).watch.begins)
        np.testing.assert_allclose(found, [ROWS * number for number in regimes], atol=30)


def test_it_finds_no_regime_where_nothing_moves() -> None:
    steady = World(1, 1)
    fresh = steady.lessons(0, 1, labels=0)
    known = Lessons(steady.x[:120], steady.y[:120], ends=steady.ends[:120])
    teacher = through(taught(known), known, fresh.rows(np.arange(120, ROWS)))
    assert member(teacher).watch.begins == ()


def test_without_a_label_it_beats_what_stays_as_it_was(
    world: World, followed: tuple[Teacher, Teacher]
) -> None:
    known, last = world.lessons(0, 4), world.lessons(7, 8)
    frozen = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    frozen.fit(known.x.reshape(len(known.y), -1), known.y)
    stale = float((frozen.predict(last.x.reshape(len(last.y), -1)) == last.y).mean())
    assert right(followed[1], last) > max(0.95, stale + 0.05, right(followed[0], last) + 0.05)


def test_its_means_track_the_truth(world: World, followed: tuple[Teacher, Teacher]) -> None:
    scaled = (world.means - np.array(followed[1].spec.mean)) / np.array(followed[1].spec.scale)
    course = member(followed[1]).course
    off = np.linalg.norm(course - scaled, axis=2).max(axis=1)
    moved = np.linalg.norm(scaled[7] - scaled[3], axis=1).max()
    assert (off < moved / 4).all()


def test_the_past_as_it_would_look_now(world: World, followed: tuple[Teacher, Teacher]) -> None:
    old = world.lessons(0, 2)
    moved = followed[1].as_now(old.x, old.y, world.ends[: len(old.y)])
    for k in range(3):
        here = moved[old.y == k, 0].mean(axis=0)
        np.testing.assert_allclose(here, world.means[7, k], atol=0.8)
    last = world.lessons(7, 8)
    same = followed[1].as_now(last.x[20:], last.y[20:], world.ends[7 * ROWS + 20 :])
    np.testing.assert_allclose(same, last.x[20:], atol=1e-4)


def test_a_late_label_says_where_classes_were_all_along(world: World) -> None:
    known, bare = world.lessons(0, 1), world.lessons(1, 3, labels=0)
    first = through(taught(known), known, bare)
    told, _ = teachers.tune(first, world.lessons(1, 3), known, SETTINGS, 0)
    assert member(told).watch.begins == member(first).watch.begins
    assert right(told, world.lessons(2, 3)) >= right(first, world.lessons(2, 3))
    assert right(told, world.lessons(2, 3)) > 0.95


def test_a_class_may_be_absent_and_return() -> None:
    world = World(2, 6, absent={4: 2})
    known = world.lessons(0, 3)
    teacher = through(taught(known), known, world.lessons(3, 6, labels=0.1))
    assert right(teacher, world.lessons(5, 6)) > 0.95


def test_few_rows_are_enough_to_begin(world: World) -> None:
    rows = np.concatenate([np.flatnonzero(world.y == k)[:2] for k in range(3)])
    few = Lessons(world.x[rows], world.y[rows], ends=world.ends[rows])
    teacher = taught(few)
    assert right(teacher, few) == 1
    again, _ = teachers.tune(teacher, world.lessons(0, 1).rows(np.arange(1)), few, SETTINGS, 0)
    assert np.isfinite(again.logits(world.x)).all()


def test_the_order_of_rows_is_that_of_their_ends(world: World) -> None:
    known = world.lessons(0, 3)
    mixed = known.rows(np.random.default_rng(0).permutation(len(known.y)))
    assert member(taught(mixed)).watch == member(taught(known)).watch


def test_it_survives_its_bytes_and_says_the_same(world: World, followed: tuple[Teacher, Teacher]) -> None:
    after = followed[1]
    again = teachers.from_bytes(after.key, after.to_bytes(), after.spec, network())
    np.testing.assert_array_equal(again.logits(world.x), after.logits(world.x))
    assert member(again).watch == member(after).watch
    assert again.to_bytes() == after.to_bytes()
    assert again.parameters == after.parameters > 0
    known, fresh = world.lessons(0, 4), world.lessons(4, 8, labels=0.2)
    tuned = [teachers.tune(each, fresh, known, SETTINGS, 0)[0].to_bytes() for each in (after, again)]
    assert tuned[0] == tuned[1]


def test_no_windows_teach_nothing(world: World, followed: tuple[Teacher, Teacher]) -> None:
    nothing = world.lessons(4, 4)
    assert teachers.tune(followed[0], nothing, world.lessons(0, 4), SETTINGS, 0)[0] is followed[0]
    assert followed[0].logits(world.x[:0]).shape == (0, 3)


def test_the_first_regime_counts_where_the_bootstrap_is_not_replayed(world: World) -> None:
    known, fresh = world.lessons(0, 2), world.lessons(2, 3)
    teacher, _ = teachers.tune(taught(known), fresh, known.rows(np.arange(0)), SETTINGS, 0)
    assert right(teacher, fresh) > 0.95


def test_it_is_a_member_of_an_ensemble(world: World) -> None:
    known = world.lessons(0, 2)
    alone, svm = taught(known), taught(known, Network.parse({"arch": "svc"}))
    both = taught(known, Network.parse({"arch": "ensemble", "members": [{"arch": "drift"}, {"arch": "svc"}]}))
    assert both.follows
    assert not svm.follows
    assert both.parameters == alone.parameters + svm.parameters
    moved = both.as_now(known.x, known.y, world.ends[: len(known.y)])
    np.testing.assert_array_equal(moved, alone.as_now(known.x, known.y, world.ends[: len(known.y)]))
    assert svm.as_now(known.x, known.y, world.ends[: len(known.y)]) is known.x


@pytest.mark.parametrize("part", ["classes", "shown", "whitened", "plain"])
def test_each_part_can_stand_alone(world: World, part: str) -> None:
    known = world.lessons(0, 2)
    teacher = taught(known, network(parts=[part], alike=2))
    assert right(teacher, world.lessons(1, 2)) > 0.95
    again = teachers.from_bytes(teacher.key, teacher.to_bytes(), teacher.spec, network(parts=[part], alike=2))
    np.testing.assert_array_equal(again.logits(known.x), teacher.logits(known.x))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"part": ["classes"]}, "no option of drift 'part'; is parts meant"),
        ({"parts": ["clases"]}, "no part of drift 'clases'; is classes meant"),
        ({"parts": []}, "parts is a list of"),
        ({"alike": 4}, "alike must divide its 6 inputs, got 4"),
        ({"alike": 0}, "alike must divide its 6 inputs, got 0"),
        ({"C": 0}, "C is a number above 0, got 0"),
    ],
)
def test_options_that_mean_nothing_are_named(world: World, options: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        taught(world.lessons(0, 1), network(**options))


# --- Page's test ------------------------------------------------------------------------------------


def test_an_alarm_takes_several_rows_and_begins_late_rather_than_early() -> None:
    loud = np.full(20, 2 * LOUDEST)
    quiet = np.full(10, -1.0)
    watch = Watch().on(np.concatenate([quiet, loud]), np.arange(100, 130))
    needed = int(BEGUN / LOUDEST)
    assert watch == Watch(begins=(110 + needed,), seen=129, rest=BLOCK)


def test_it_is_the_same_in_pieces() -> None:
    values, ends = np.random.default_rng(0).normal(0.2, 6, 200), np.arange(1, 201)
    whole = Watch().on(values, ends)
    if whole.begins:  # up to the alarm: what follows is for the new belief
        stop = int(whole.begins[0])
        values, ends = values[:stop], ends[:stop]
        whole = Watch().on(values, ends)
    pieces = Watch()
    for part in np.array_split(np.arange(len(ends)), 7):
        pieces = pieces.on(values[part], ends[part])
    assert pieces == whole


def test_one_absurd_row_is_no_regime() -> None:
    values = np.where(np.arange(50) == 25, 1e9, -1.0)
    assert Watch().on(values, np.arange(1, 51)).begins == ()


def test_no_regime_begins_while_the_last_is_being_found() -> None:
    loud, ends = np.full(2 * BLOCK, LOUDEST), np.arange(1, 2 * BLOCK + 1)
    found = Watch().on(loud[:20], ends[:20])
    found = found.on(loud[20 : BLOCK + 20], ends[20 : BLOCK + 20])
    assert (len(found.begins), found.rest) == (1, 0)
    found = found.on(loud[BLOCK + 20 :], ends[BLOCK + 20 :])
    assert len(found.begins) == 2
    assert found.begins[1] > ends[BLOCK + 19]
