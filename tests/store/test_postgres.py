"""PostgreSQL's own: it may go away and come back, sort in its own way, and refuse what SQLite takes."""

import re
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest

from iot_stream.errors import ConfigError, StoreError
from iot_stream.store import Store, postgres
from iot_stream.store.postgres_schema import parting, translated
from tests.postgres import Server
from tests.store.conftest import opened


@pytest.fixture
def url(postgres_server: Server) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


def count(store: Store, n: int = 1) -> None:
    with store.write() as tx:
        store.faults.count(tx, "p", "d", "late", n)


def test_a_restart_between_transactions_is_not_noticed(postgres_server: Server, url: str) -> None:
    with opened(url) as store:
        count(store)
        postgres_server.stop()
        postgres_server.start()
        assert store.faults.counters("p") == [("d", "late", 1)]
        postgres_server.stop()
        postgres_server.start()
        count(store)
        assert store.faults.counters("p") == [("d", "late", 2)]


def test_a_restart_within_a_transaction_undoes_it(postgres_server: Server, url: str) -> None:
    with opened(url) as store:
        with pytest.raises(StoreError), store.write() as tx:  # noqa: PT012  the transaction is what is tested
            store.faults.count(tx, "p", "d", "late")
            postgres_server.stop()
            postgres_server.start()
            with pytest.raises(StoreError):
                store.faults.counters("p")  # not of a new connection, which would not see what is written
        assert store.faults.counters("p") == []


def test_while_the_server_is_away_it_is_a_store_error(
    postgres_server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE_S", 0.3)
    with opened(url) as store:
        postgres_server.stop()
        try:
            for _ in range(2):
                with pytest.raises(StoreError, match=r"store postgresql://iot@127.0.0.1"):
                    count(store)
            with pytest.raises(StoreError, match="is the server running"):
                Store(url)
        finally:
            postgres_server.start()
        count(store)
        assert store.faults.counters("p") == [("d", "late", 1)]


def test_a_server_that_comes_back_soon_is_waited_for(postgres_server: Server, url: str) -> None:
    with opened(url) as store:
        postgres_server.stop()
        back = threading.Timer(0.5, postgres_server.start)
        back.start()
        count(store)
        back.join()


def test_a_wrong_password_is_told_without_the_right_one(url: str) -> None:
    with pytest.raises(StoreError, match="password authentication failed") as raised:
        Store(url.replace("s3cret", "guessed"))
    assert "guessed" not in str(raised.value)


def test_a_transaction_in_which_a_statement_failed_is_not_taken_for_written(url: str) -> None:
    with opened(url) as store:
        with pytest.raises(StoreError, match="nothing is written"), store.write() as tx:  # noqa: PT012
            store.faults.count(tx, "p", "d", "late")
            with pytest.raises(psycopg.Error):
                tx.execute("SELECT * FROM nowhere")
        assert store.faults.counters("p") == []


def test_a_writer_that_holds_all_up_is_a_store_error_to_the_others(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SESSION", ["SET lock_timeout = '50ms'"])
    with opened(url) as store, opened(url) as other:
        with store.write(), pytest.raises(StoreError, match="lock timeout"):
            count(other)
        count(other)


def test_texts_may_hold_what_postgresql_does_not(url: str) -> None:
    with opened(url) as store:
        with store.write() as tx:
            store.faults.quarantine(tx, 1, "p", "d\0", "t?%", "malformed", "100 % \0?", b"\0%?")
        (row,) = store.faults.quarantined("p")
        assert (row.device, row.topic, row.detail) == ("d\ufffd", "t?%", "100 % \ufffd?")
        assert row.payload == b"\0%?"


def test_names_sort_as_in_sqlite_whatever_the_server_speaks(postgres_server: Server) -> None:
    if postgres_server.version < 15:
        pytest.skip("databases that sort by ICU came with PostgreSQL 15")
    german = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'"
    with postgres_server.database(german) as url, opened(url) as store:
        for device in ("b", "a", "B", "ä", "a-1", "a1"):
            with store.write() as tx:
                store.faults.count(tx, "p", device, "late")
        assert [device for device, *_ in store.faults.counters("p")] == ["B", "a", "a-1", "a1", "b", "ä"]


def test_a_database_of_another_encoding_is_refused(postgres_server: Server) -> None:
    latin = "TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'"
    with postgres_server.database(latin) as url, pytest.raises(StoreError, match="LATIN1; make a database"):
        Store(url)


def test_what_is_used_is_reckoned_from_a_part_of_a_large_table(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(url) as store:
        with store.write() as tx:
            tx.executemany(
                "INSERT INTO outputs VALUES ('p', 'm', 'd', ?, 0, 0, ?)",
                [(i, b"x" * 200) for i in range(20_000)],
            )
            tx.execute('CREATE VIEW "A View" AS SELECT * FROM outputs')  # others' things do not disturb
            tx.execute('CREATE TABLE "A Table" ("A Column" TEXT)')
        exact = store.used()
        assert 20_000 * 300 < exact < 20_000 * 400
        monkeypatch.setattr(postgres, "SAMPLE_PAGES", 200)  # of some 700
        assert store.used() == pytest.approx(exact, rel=0.3)
        with store.write() as tx:
            tx.execute('DELETE FROM outputs WHERE "end" < 18000')
        assert store.used() < exact / 3  # though its file is as large as before


def test_without_timescaledb_all_tables_are_plain(url: str) -> None:
    with opened(url) as store:
        extensions = {row[0] for row in store.read("SELECT extname FROM pg_extension")}
        assert parting(new=True, extensions=extensions) == []
        assert store.one("SELECT conname FROM pg_constraint WHERE conname = 'windows_pkey'") == "windows_pkey"


def test_where_timescaledb_parts_a_new_store_each_unique_key_holds_what_it_is_parted_by(url: str) -> None:
    statements = parting(new=True, extensions={"plpgsql", "timescaledb"})
    assert parting(new=False, extensions={"timescaledb"}) == []
    parted = dict(re.findall(r"create_hypertable\('(\w+)', '(\w+)'", " ".join(statements)))
    assert parted == {"journal": "arrived", "windows": "start"}
    with opened(url) as store:
        with store.write() as tx:
            for statement in statements:
                if "create_hypertable" not in statement:
                    tx.execute(statement)
        indexes = store.read(
            "SELECT tablename, indexdef FROM pg_indexes WHERE indexdef LIKE 'CREATE UNIQUE%'"
        )
    assert "windows" in {name for name, _ in indexes}
    for table, column in parted.items():
        assert all(column in definition for name, definition in indexes if name == table)


def test_translation_leaves_no_word_of_sqlites() -> None:
    assert translated("id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL, x BLOB") == (
        "id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n BIGINT NOT NULL, x BYTEA"
    )
    assert translated("p REAL, key TEXT PRIMARY KEY) WITHOUT ROWID") == (
        'p DOUBLE PRECISION, key TEXT COLLATE "C" PRIMARY KEY) '
    )


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "iot_stream.store.postgres")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'iot-stream\[postgres\]'"):
        Store("postgresql://localhost/iot")
