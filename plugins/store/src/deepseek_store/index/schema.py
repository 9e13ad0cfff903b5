"""The tables of an index, and its statements: one text for SQLite and PostgreSQL.

Parameters are `:named`; words that the dialects spell differently stand in braces in `TABLES`.
A column `seq` holds the number of the commit that wrote the row last.
"""

from __future__ import annotations

from string import Template
from typing import Final

FORMAT: Final = 1
UNFINISHED: Final = -1
"""In place of the format while an index is filled again."""

_COLUMNS: Final = {
    "format": str(FORMAT),
    "version": (
        "key, generation, writer, move, nbytes, created_s, deleted, meta, extents, segment,"
        " record_offset"
    ),
    "segment": (
        "id, writer, state, nbytes, min_generation, created_s, local, stripe, fragment, applied"
    ),
    "stripe": "id, temperature, generation, code, created_s, deleted_s, places",
}


def _sql(text: str) -> str:
    return Template(text).substitute(_COLUMNS)


TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS head (
        one SMALLINT PRIMARY KEY CHECK (one = 1), store {text} NOT NULL, format BIGINT NOT NULL,
        seq BIGINT NOT NULL, clock BIGINT NOT NULL, trimmed BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS versions (
        key {text} NOT NULL, generation BIGINT NOT NULL, writer BIGINT NOT NULL,
        move BIGINT NOT NULL, nbytes BIGINT NOT NULL, created_s DOUBLE PRECISION NOT NULL,
        deleted SMALLINT NOT NULL, meta {blob} NOT NULL, extents {blob} NOT NULL,
        segment BIGINT NOT NULL, record_offset BIGINT NOT NULL, seq BIGINT NOT NULL,
        PRIMARY KEY (key, generation, writer)) {clustered}""",
    "CREATE INDEX IF NOT EXISTS versions_by_seq ON versions (seq)",
    """CREATE TABLE IF NOT EXISTS removed (
        seq BIGINT NOT NULL, kind {text} NOT NULL, key {text} NOT NULL,
        generation BIGINT NOT NULL, writer BIGINT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS removed_by_seq ON removed (seq)",
    """CREATE TABLE IF NOT EXISTS segments (
        id BIGINT PRIMARY KEY, writer BIGINT NOT NULL, state {text} NOT NULL,
        nbytes BIGINT NOT NULL, min_generation BIGINT NOT NULL, created_s DOUBLE PRECISION NOT NULL,
        local SMALLINT NOT NULL, stripe BIGINT, fragment BIGINT, applied BIGINT NOT NULL,
        seq BIGINT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS segments_by_seq ON segments (seq)",
    """CREATE TABLE IF NOT EXISTS stripes (
        id BIGINT PRIMARY KEY, temperature {text} NOT NULL, generation BIGINT NOT NULL,
        code {text} NOT NULL, created_s DOUBLE PRECISION NOT NULL, deleted_s DOUBLE PRECISION,
        places {blob} NOT NULL, seq BIGINT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS stripes_by_seq ON stripes (seq)",
    """CREATE TABLE IF NOT EXISTS pins (
        key {text} PRIMARY KEY, tier {text} NOT NULL, seq BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS heat (
        key {text} PRIMARY KEY, rate_per_s DOUBLE PRECISION NOT NULL,
        at_s DOUBLE PRECISION NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS meta (key {text} PRIMARY KEY, value {text} NOT NULL)",
    "CREATE TABLE IF NOT EXISTS counters (name {text} PRIMARY KEY, value BIGINT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS snapshots (
        name {text} PRIMARY KEY, created_s DOUBLE PRECISION NOT NULL, seq BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS snapshot_members (
        key {text} NOT NULL, generation BIGINT NOT NULL, writer BIGINT NOT NULL,
        name {text} NOT NULL, PRIMARY KEY (key, generation, writer, name)) {clustered}""",
    """CREATE TABLE IF NOT EXISTS outcomes (
        client {text} PRIMARY KEY, token BIGINT NOT NULL, seq BIGINT NOT NULL)""",
)
CREATE_HEAD: Final = _sql("""INSERT INTO head (one, store, format, seq, clock, trimmed)
    VALUES (1, :store, $format, 0, 0, 0) ON CONFLICT (one) DO NOTHING""")
HEAD: Final = "SELECT store, format, seq, clock, trimmed FROM head"

SET_FORMAT: Final = "UPDATE head SET format = :format"

# The first statement of every writing transaction. Its row is locked until the commit, so numbers
# become visible in their order: a reader that saw n never meets a lower one later.
NEXT_SEQ: Final = """UPDATE head SET seq = seq + 1,
    clock = CASE WHEN clock < :clock THEN :clock ELSE clock END RETURNING seq"""
OUTCOME: Final = "SELECT token, seq FROM outcomes WHERE client = :client"
NOTE_OUTCOME: Final = """INSERT INTO outcomes (client, token, seq) VALUES (:client, :token, :seq)
    ON CONFLICT (client) DO UPDATE SET token = excluded.token, seq = excluded.seq"""

VERSIONS: Final = _sql("SELECT $version FROM versions ORDER BY key, generation, writer")
# Both bounds: without statistics, PostgreSQL takes an open range for a third of the table.
VERSIONS_SINCE: Final = _sql(
    "SELECT $version FROM versions WHERE seq > :seq AND seq <= :now ORDER BY seq"
)
# Keys of objects; with both bounds, so that no tombstones beyond are walked through.
_LIVE_KEYS: Final = """SELECT key FROM versions WHERE key {above} :start AND key < :beyond
    AND deleted = 0 AND NOT EXISTS (SELECT 1 FROM versions AS newer WHERE newer.key = versions.key
    AND (newer.generation, newer.writer) > (versions.generation, versions.writer))
    ORDER BY key LIMIT :most"""
LIVE_KEYS_FROM: Final = _LIVE_KEYS.format(above=">=")
LIVE_KEYS_AFTER: Final = _LIVE_KEYS.format(above=">")
VERSIONS_OF: Final = _sql(
    "SELECT $version FROM versions WHERE key = :key ORDER BY generation DESC, writer DESC"
)
ANY_VERSION_PAST: Final = "SELECT 1 FROM versions LIMIT 1 OFFSET :count"
CURRENT: Final = """SELECT generation, writer, deleted FROM versions WHERE key = :key
    ORDER BY generation DESC, writer DESC LIMIT 1"""
PUT_VERSION: Final = _sql("""INSERT INTO versions ($version, seq) VALUES (:key, :generation,
    :writer, :move, :nbytes, :created_s, :deleted, :meta, :extents, :segment, :record_offset, :seq)
    ON CONFLICT (key, generation, writer) DO UPDATE SET move = excluded.move,
    nbytes = excluded.nbytes, created_s = excluded.created_s, deleted = excluded.deleted,
    meta = excluded.meta, extents = excluded.extents, segment = excluded.segment,
    record_offset = excluded.record_offset, seq = excluded.seq
    WHERE excluded.move > versions.move""")
MOVE_VERSION: Final = """UPDATE versions SET move = :move, nbytes = :nbytes,
    created_s = :created_s, deleted = :deleted, meta = :meta, extents = :extents,
    segment = :segment, record_offset = :record_offset, seq = :seq
    WHERE key = :key AND generation = :generation AND writer = :writer AND move < :move"""
FORGET_VERSION: Final = """DELETE FROM versions
    WHERE key = :key AND generation = :generation AND writer = :writer"""

NOTE_REMOVED: Final = """INSERT INTO removed (seq, kind, key, generation, writer)
    VALUES (:seq, :kind, :key, :generation, :writer)"""
# Only of what is there: nobody has seen what was hidden before it came into the index.
NOTE_FORGOTTEN: Final = """INSERT INTO removed (seq, kind, key, generation, writer)
    SELECT CAST(:seq AS BIGINT), 'version', key, generation, writer FROM versions
    WHERE key = :key AND generation = :generation AND writer = :writer"""
REMOVED_SINCE: Final = """SELECT kind, key, generation, writer FROM removed
    WHERE seq > :seq AND seq <= :now ORDER BY seq"""
TRIM_REMOVED: Final = "DELETE FROM removed WHERE seq <= :seq"
TRIM_HEAD: Final = "UPDATE head SET trimmed = CASE WHEN trimmed < :seq THEN :seq ELSE trimmed END"
NOT_AMONG_LAST: Final = "SELECT seq FROM removed ORDER BY seq DESC LIMIT 1 OFFSET :most"
TRIM_HEAT: Final = """DELETE FROM heat WHERE NOT EXISTS
    (SELECT 1 FROM versions WHERE versions.key = heat.key)"""
NOTE_LOOSE_PINS: Final = """INSERT INTO removed (seq, kind, key, generation, writer)
    SELECT CAST(:seq AS BIGINT), 'pin', key, 0, 0 FROM pins WHERE NOT EXISTS
    (SELECT 1 FROM versions WHERE versions.key = pins.key)"""
TRIM_PINS: Final = """DELETE FROM pins WHERE NOT EXISTS
    (SELECT 1 FROM versions WHERE versions.key = pins.key)"""
# A row is looked at only while its client tries a commit again: so many at once never do.
TRIM_OUTCOMES: Final = """DELETE FROM outcomes WHERE seq <=
    (SELECT seq FROM outcomes ORDER BY seq DESC LIMIT 1 OFFSET 1024)"""

SEGMENTS: Final = _sql("SELECT $segment FROM segments ORDER BY id")
SEGMENTS_SINCE: Final = _sql(
    "SELECT $segment FROM segments WHERE seq > :seq AND seq <= :now ORDER BY seq"
)
PUT_SEGMENT: Final = _sql("""INSERT INTO segments ($segment, seq) VALUES (:id, :writer, :state,
    :nbytes, :min_generation, :created_s, :local, :stripe, :fragment, :applied, :seq)
    ON CONFLICT (id) DO UPDATE SET writer = excluded.writer, state = excluded.state,
    nbytes = excluded.nbytes, min_generation = excluded.min_generation,
    created_s = excluded.created_s, local = excluded.local, stripe = excluded.stripe,
    fragment = excluded.fragment, seq = excluded.seq,
    applied = CASE WHEN excluded.applied > segments.applied THEN excluded.applied
    ELSE segments.applied END""")
APPLIED: Final = """UPDATE segments SET applied = :applied, seq = :seq
    WHERE id = :id AND applied < :applied"""
DROP_SEGMENT: Final = "DELETE FROM segments WHERE id = :id"

STRIPES: Final = _sql("SELECT $stripe FROM stripes ORDER BY id")
STRIPES_SINCE: Final = _sql(
    "SELECT $stripe FROM stripes WHERE seq > :seq AND seq <= :now ORDER BY seq"
)
PUT_STRIPE: Final = _sql("""INSERT INTO stripes ($stripe, seq) VALUES (:id, :tier,
    :generation, :code, :created_s, :deleted_s, :places, :seq)
    ON CONFLICT (id) DO UPDATE SET temperature = excluded.temperature,
    generation = excluded.generation, code = excluded.code, created_s = excluded.created_s,
    deleted_s = excluded.deleted_s, places = excluded.places, seq = excluded.seq
    WHERE excluded.generation >= stripes.generation""")
DROP_STRIPE: Final = "DELETE FROM stripes WHERE id = :id"
PINS: Final = "SELECT key, tier FROM pins"
PINS_SINCE: Final = "SELECT key, tier FROM pins WHERE seq > :seq AND seq <= :now"
PUT_PIN: Final = """INSERT INTO pins (key, tier, seq) VALUES (:key, :tier, :seq)
    ON CONFLICT (key) DO UPDATE SET tier = excluded.tier, seq = excluded.seq"""
DROP_PIN: Final = "DELETE FROM pins WHERE key = :key"
HEAT: Final = "SELECT key, rate_per_s, at_s FROM heat"
HEAT_OF: Final = HEAT + " WHERE key = :key"
PUT_HEAT: Final = """INSERT INTO heat (key, rate_per_s, at_s) VALUES (:key, :rate_per_s, :at_s)
    ON CONFLICT (key) DO UPDATE SET rate_per_s = excluded.rate_per_s, at_s = excluded.at_s"""
META: Final = "SELECT key, value FROM meta ORDER BY key"
PUT_META: Final = """INSERT INTO meta (key, value) VALUES (:key, :value)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
DROP_META: Final = "DELETE FROM meta WHERE key = :key"
ALLOCATE: Final = """INSERT INTO counters (name, value) VALUES (:name, :count)
    ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"""
COUNTERS: Final = "SELECT name, value FROM counters"
RAISE_COUNTER: Final = """INSERT INTO counters (name, value) VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
    WHERE counters.value < excluded.value"""

PUT_SNAPSHOT: Final = """INSERT INTO snapshots (name, created_s, seq)
    VALUES (:name, :created_s, :seq) ON CONFLICT (name) DO NOTHING RETURNING name"""
PUT_MEMBERS: Final = """INSERT INTO snapshot_members (key, generation, writer, name)
    SELECT key, generation, writer, :name FROM versions WHERE deleted = 0 AND NOT EXISTS
    (SELECT 1 FROM versions AS newer WHERE newer.key = versions.key AND
    (newer.generation, newer.writer) > (versions.generation, versions.writer))"""
PUT_MEMBER: Final = """INSERT INTO snapshot_members (key, generation, writer, name)
    VALUES (:key, :generation, :writer, :name) ON CONFLICT DO NOTHING"""
SNAPSHOTS: Final = """SELECT name, created_s, seq,
    (SELECT count(*) FROM snapshot_members WHERE snapshot_members.name = snapshots.name)
    FROM snapshots ORDER BY seq"""
SNAPSHOT_VERSIONS: Final = _sql("""SELECT $version
    FROM snapshot_members JOIN versions USING (key, generation, writer)
    WHERE name = :name ORDER BY key""")
MEMBERS: Final = "SELECT DISTINCT key, generation, writer FROM snapshot_members"
MEMBERS_OF_KEY: Final = "SELECT DISTINCT generation, writer FROM snapshot_members WHERE key = :key"
ANY_SNAPSHOT: Final = "SELECT 1 FROM snapshots LIMIT 1"
DROP_SNAPSHOT: Final = "DELETE FROM snapshots WHERE name = :name RETURNING name"
DROP_MEMBERS: Final = "DELETE FROM snapshot_members WHERE name = :name"

EMPTIED: Final = (
    "versions", "removed", "segments", "stripes", "pins", "heat", "meta", "snapshots",
    "snapshot_members",
)  # fmt: skip
