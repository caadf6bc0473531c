"""The schema, step by step, in SQLite's words; a step and its record are one transaction. Never edit a step
that has shipped.

Each table has one writing process, named in its comment; `commands` is the exception: anyone appends.
Readers go on from the last id that they saw, so ids are never used twice (AUTOINCREMENT), also when
retention has emptied a table.
"""

from collections.abc import Iterator

from iot_stream.errors import StoreError

STEPS = [
    """
    -- collector: readings as they came, the source of all windows
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, device TEXT NOT NULL,
        source INTEGER NOT NULL, key TEXT NOT NULL, boot TEXT NOT NULL, seq INTEGER NOT NULL,
        n INTEGER NOT NULL, arrived INTEGER NOT NULL, block BLOB NOT NULL,
        UNIQUE (pipeline, device, source, key)
    );
    CREATE INDEX journal_by_age ON journal (pipeline, arrived);
    -- collector
    CREATE TABLE windows (
        id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, cut TEXT NOT NULL, device TEXT NOT NULL,
        start INTEGER NOT NULL, "end" INTEGER NOT NULL, arrived INTEGER NOT NULL, x BLOB NOT NULL,
        UNIQUE (pipeline, cut, device, start)
    );
    CREATE INDEX windows_by_cut ON windows (pipeline, cut, id);
    CREATE INDEX windows_by_age ON windows (pipeline, arrived);
    -- collector: where each cutter stands, and what it remembers of each device
    CREATE TABLE cutters (
        pipeline TEXT NOT NULL, cut TEXT NOT NULL, device TEXT NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY (pipeline, cut, device)
    ) WITHOUT ROWID;
    CREATE TABLE positions (
        pipeline TEXT NOT NULL, cut TEXT NOT NULL, journal INTEGER NOT NULL,
        PRIMARY KEY (pipeline, cut)
    ) WITHOUT ROWID;
    -- collector: ground truth
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, device TEXT NOT NULL, start INTEGER NOT NULL,
        "end" INTEGER NOT NULL, value INTEGER NOT NULL, arrived INTEGER NOT NULL,
        UNIQUE (pipeline, device, start, "end")
    );
    CREATE INDEX labels_by_age ON labels (pipeline, arrived);
    -- collector: what devices said of each window
    CREATE TABLE predictions (
        pipeline TEXT NOT NULL, device TEXT NOT NULL, time INTEGER NOT NULL, version INTEGER NOT NULL,
        value INTEGER NOT NULL, p REAL NOT NULL, arrived INTEGER NOT NULL,
        PRIMARY KEY (pipeline, device, time)
    ) WITHOUT ROWID;
    CREATE INDEX predictions_by_age ON predictions (pipeline, arrived);
    -- collector: how often what was wrong
    CREATE TABLE counters (
        pipeline TEXT NOT NULL, device TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (pipeline, device, reason)
    ) WITHOUT ROWID;
    -- collector: the newest messages that could not be used
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, pipeline TEXT NOT NULL, device TEXT NOT NULL,
        topic TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, payload BLOB NOT NULL
    );
    -- distiller
    CREATE TABLE artifacts (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE models (
        key TEXT PRIMARY KEY, kind TEXT NOT NULL, created INTEGER NOT NULL, content TEXT NOT NULL,
        report TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE rounds (
        id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, cohort TEXT NOT NULL, trigger TEXT NOT NULL,
        started INTEGER NOT NULL, ended INTEGER, stream_started INTEGER NOT NULL, outcome TEXT NOT NULL,
        report TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE versions (
        pipeline TEXT NOT NULL, cohort TEXT NOT NULL, version INTEGER NOT NULL, round TEXT NOT NULL,
        created INTEGER NOT NULL, graph TEXT NOT NULL, spec TEXT NOT NULL, weights TEXT NOT NULL,
        encoding TEXT NOT NULL, resume TEXT NOT NULL, provenance TEXT NOT NULL,
        PRIMARY KEY (pipeline, cohort, version)
    ) WITHOUT ROWID;
    -- distiller: what teacher and rivals say of stored windows
    CREATE TABLE outputs (
        pipeline TEXT NOT NULL, model TEXT NOT NULL, device TEXT NOT NULL, "end" INTEGER NOT NULL,
        start INTEGER NOT NULL, arrived INTEGER NOT NULL, logits BLOB NOT NULL,
        PRIMARY KEY (pipeline, model, device, "end")
    ) WITHOUT ROWID;
    -- publisher
    CREATE TABLE releases (
        pipeline TEXT NOT NULL, cohort TEXT NOT NULL, slot TEXT NOT NULL, version INTEGER NOT NULL,
        signed INTEGER NOT NULL, bundle BLOB NOT NULL,
        PRIMARY KEY (pipeline, cohort, slot, version)
    ) WITHOUT ROWID;
    CREATE TABLE devices (
        pipeline TEXT NOT NULL, device TEXT NOT NULL, cohort TEXT NOT NULL, online INTEGER NOT NULL,
        version INTEGER NOT NULL, seen INTEGER NOT NULL, status TEXT NOT NULL,
        PRIMARY KEY (pipeline, device)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, pipeline TEXT NOT NULL, device TEXT NOT NULL,
        event TEXT NOT NULL, version INTEGER NOT NULL, stream INTEGER NOT NULL, report TEXT NOT NULL
    );
    -- anyone appends, the part that owns the matter writes the outcome
    CREATE TABLE commands (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL,
        pipeline TEXT NOT NULL, arguments TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL,
        ended INTEGER
    );
    """,
    """
    -- collector: what dialects remember whose messages make sense only after others
    CREATE TABLE conversations (
        pipeline TEXT NOT NULL, source INTEGER NOT NULL, snapshot BLOB NOT NULL,
        PRIMARY KEY (pipeline, source)
    ) WITHOUT ROWID;
    -- of the whole message, of which the payload may be the beginning only
    ALTER TABLE quarantine ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    -- anyone: what is not to be learnt from (device '' is all of them)
    CREATE TABLE exclusions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, pipeline TEXT NOT NULL,
        device TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, reason TEXT NOT NULL
    );
    -- anyone: since when a name stands for another sensor
    CREATE TABLE replacements (
        pipeline TEXT NOT NULL, device TEXT NOT NULL, since INTEGER NOT NULL, at INTEGER NOT NULL,
        who TEXT NOT NULL, PRIMARY KEY (pipeline, device, since)
    ) WITHOUT ROWID
    """,
    """
    -- collector: readings in segments, those of a transaction in one row. Readings of a journal of before are
    -- not taken over, the windows cut from them are.
    DROP TABLE journal;
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, arrived INTEGER NOT NULL,
        heads BLOB NOT NULL, readings BLOB NOT NULL
    );
    CREATE INDEX journal_by_id ON journal (pipeline, id);
    CREATE INDEX journal_by_age ON journal (pipeline, arrived);
    DELETE FROM positions;
    -- collector: what has come of each device, in the segments up to a certain one
    CREATE TABLE known (
        pipeline TEXT NOT NULL, device TEXT NOT NULL, source INTEGER NOT NULL, what BLOB NOT NULL,
        PRIMARY KEY (pipeline, device, source)
    ) WITHOUT ROWID;
    CREATE TABLE known_until (pipeline TEXT NOT NULL PRIMARY KEY, segment INTEGER NOT NULL) WITHOUT ROWID
    """,
    """
    -- anyone: who is not learnt from since when (device '' is all of them), with no "until" while it lasts
    CREATE TABLE holds (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, pipeline TEXT NOT NULL,
        device TEXT NOT NULL, since INTEGER NOT NULL, reason TEXT NOT NULL, "until" INTEGER
    )
    """,
    """
    -- collector (levels of topics) and people: what a device is, by name
    CREATE TABLE tags (
        pipeline TEXT NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
        who TEXT NOT NULL, PRIMARY KEY (pipeline, device, name)
    ) WITHOUT ROWID;
    -- distiller: whose student a device follows, by its newest row
    CREATE TABLE cohorts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, pipeline TEXT NOT NULL,
        device TEXT NOT NULL, cohort TEXT NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX cohorts_by_pipeline ON cohorts (pipeline, id);
    -- distiller: where trainings stand that are not over
    CREATE TABLE checkpoints (key TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID
    """,
    """
    -- publisher: how far each version has come that goes out in stages
    CREATE TABLE rollouts (
        pipeline TEXT NOT NULL, cohort TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL,
        stage INTEGER NOT NULL, since INTEGER NOT NULL, stream_since INTEGER NOT NULL,
        PRIMARY KEY (pipeline, cohort, version)
    ) WITHOUT ROWID;
    -- publisher: who or what decided about them, and why
    CREATE TABLE decisions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, pipeline TEXT NOT NULL,
        cohort TEXT NOT NULL, version INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
        why TEXT NOT NULL
    );
    CREATE INDEX events_by_age ON events (pipeline, at)
    """,
    """
    -- collector: how much has come and was made in all, since this step
    CREATE TABLE totals (
        pipeline TEXT NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (pipeline, what)
    ) WITHOUT ROWID
    """,
    """
    -- collector: what devices say of windows that they do not send, and the bytes of the message
    CREATE TABLE summaries (
        pipeline TEXT NOT NULL, device TEXT NOT NULL, begin INTEGER NOT NULL, "end" INTEGER NOT NULL,
        windows INTEGER NOT NULL, sent INTEGER NOT NULL, size INTEGER NOT NULL, arrived INTEGER NOT NULL,
        report TEXT NOT NULL, PRIMARY KEY (pipeline, device, begin)
    ) WITHOUT ROWID;
    CREATE INDEX summaries_by_age ON summaries (pipeline, arrived)
    """,
    """
    -- for who looks at one device, or at the newest rounds, however many there were
    CREATE INDEX events_by_device ON events (pipeline, device, id);
    CREATE INDEX rounds_by_start ON rounds (pipeline, started)
    """,
    """
    -- distiller: whose word it takes now
    CREATE TABLE teachers (pipeline TEXT NOT NULL PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID
    """,
    """
    -- publisher: stays at its version
    ALTER TABLE devices ADD COLUMN pinned INTEGER
    """,
]


def pending(have: int, place: str) -> Iterator[tuple[int, list[str]]]:
    """Number and statements of each step that a store at step `have` lacks; raises StoreError."""
    if have > len(STEPS):
        raise StoreError(f"store {place} is from a newer iot-stream (schema {have}); update this one")
    for number, step in enumerate(STEPS[have:], have + 1):
        yield number, step.split(";")
