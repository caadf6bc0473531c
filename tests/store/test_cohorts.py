"""Tags of devices, and who is in which cohort."""

from iot_stream.store import Store


def tag(store: Store, device: str, who: str = "collector", **tags: str) -> None:
    with store.write() as tx:
        store.cohorts.tag(tx, "p", device, tags, who)


def test_a_tag_is_the_newest_that_was_heard(store: Store) -> None:
    tag(store, "a", line="4", hall="north")
    tag(store, "b", line="5")
    assert store.cohorts.tags("p", "line") == {"a": "4", "b": "5"}
    tag(store, "a", line="6")
    assert store.cohorts.tags("p", "line") == {"a": "6", "b": "5"}
    assert store.cohorts.tags("p", "hall") == {"a": "north"}
    assert store.cohorts.tags("q", "line") == {}


def test_what_a_person_says_stands_over_what_a_topic_says(store: Store) -> None:
    tag(store, "a", line="4")
    tag(store, "a", "cli", line="7")
    tag(store, "a", line="4")
    assert store.cohorts.tags("p", "line") == {"a": "7"}
    tag(store, "a", "cli", line="8")
    assert store.cohorts.tags("p", "line") == {"a": "8"}


def test_a_device_is_where_it_was_assigned_last(store: Store) -> None:
    for cohorts in ({"a": "north", "b": "north"}, {"a": "south"}):
        with store.write() as tx:
            store.cohorts.assign(tx, "p", cohorts, "by hall")
    assert store.cohorts.members("p") == {"a": "south", "b": "north"}
    first, second, third = store.cohorts.assignments("p")
    assert (third.device, third.cohort, third.reason) == ("a", "south", "by hall")
    assert store.cohorts.assignments("p", after=second.id) == [third]
    assert first.id < second.id < third.id
    assert store.cohorts.members("q") == {}
