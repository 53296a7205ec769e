"""The tables of the state file, and the migrations from older releases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.errors import ConfigError

# Each entry migrates the file by one version. Never edit a released entry; add a new one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE workflows (team TEXT, correlation_id TEXT, state TEXT NOT NULL, reason TEXT NOT NULL,
           first INTEGER NOT NULL, last INTEGER NOT NULL, since INTEGER NOT NULL, ends INTEGER NOT NULL,
           agents BLOB NOT NULL, counts BLOB NOT NULL, PRIMARY KEY (team, correlation_id)) WITHOUT ROWID""",
        """CREATE TABLE reservations (id TEXT PRIMARY KEY, team TEXT NOT NULL, correlation_id TEXT NOT NULL,
           agent TEXT NOT NULL, ttl INTEGER NOT NULL, due INTEGER NOT NULL, debits BLOB NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE buckets (key TEXT PRIMARY KEY, level REAL NOT NULL, at INTEGER NOT NULL, burst INTEGER NOT NULL,
           refill REAL NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE orders (seq INTEGER PRIMARY KEY AUTOINCREMENT, team TEXT NOT NULL, correlation_id TEXT NOT NULL,
           reason TEXT)""",
        """CREATE TABLE vaults (team TEXT, correlation_id TEXT, ends INTEGER NOT NULL,
           PRIMARY KEY (team, correlation_id)) WITHOUT ROWID""",
        """CREATE TABLE sealed (team TEXT, correlation_id TEXT, entity TEXT, number INTEGER, digest BLOB NOT NULL,
           ciphertext BLOB NOT NULL, PRIMARY KEY (team, correlation_id, entity, number)) WITHOUT ROWID""",
        """CREATE TABLE keys (id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, agent TEXT NOT NULL, team TEXT NOT NULL,
           roles BLOB NOT NULL, created REAL NOT NULL, revoked REAL)""",
        "INSERT INTO meta VALUES ('keys', 0)",
    ),
    (
        "ALTER TABLE workflows ADD COLUMN topups BLOB NOT NULL DEFAULT x'7b7d'",  # {}
        "ALTER TABLE workflows ADD COLUMN opened INTEGER NOT NULL DEFAULT 0",
        # An order without a kind is from an older release: a freeze if it has a reason, else a resume.
        "ALTER TABLE orders ADD COLUMN kind TEXT",
        "ALTER TABLE orders ADD COLUMN ttl INTEGER",
        "ALTER TABLE orders ADD COLUMN topups BLOB",
        # Counters of repeats, a ring for each workflow: a new counter takes the slot of the oldest. `first` is when the
        # workflow began, which distinguishes the rows of an expired workflow from the rows of its successor.
        """CREATE TABLE repeats (team TEXT, correlation_id TEXT, slot INTEGER, first INTEGER NOT NULL,
           number INTEGER NOT NULL, key TEXT NOT NULL, used INTEGER NOT NULL, lapsed INTEGER NOT NULL,
           PRIMARY KEY (team, correlation_id, slot)) WITHOUT ROWID""",
    ),
    (
        # Answers kept under an idempotency key. They may be large, so not in the index itself.
        """CREATE TABLE answers (team TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, ends INTEGER NOT NULL,
           sealed BLOB NOT NULL, PRIMARY KEY (team, key))""",
    ),
    (
        # Maximum age and idle time of a workflow, by its last call.
        "ALTER TABLE workflows ADD COLUMN seconds INTEGER",
        "ALTER TABLE workflows ADD COLUMN idle INTEGER",
        "ALTER TABLE orders ADD COLUMN seconds INTEGER",
        "ALTER TABLE orders ADD COLUMN idle INTEGER",
    ),
    (
        # The history of a workflow as JSON; empty if there is none.
        "ALTER TABLE workflows ADD COLUMN flow BLOB NOT NULL DEFAULT x''",
    ),
    (
        "ALTER TABLE keys ADD COLUMN expires REAL",
        "ALTER TABLE keys ADD COLUMN used REAL",
    ),
    (
        # A vault lives as long as the record of its workflow: `first` is when that record began, 0 without one.
        "ALTER TABLE vaults ADD COLUMN first INTEGER NOT NULL DEFAULT 0",
        # How models spelled what was restored, a ring for each workflow: a newer one takes the slot of the oldest.
        """CREATE TABLE spellings (team TEXT, correlation_id TEXT, slot INTEGER, number INTEGER NOT NULL,
           digest BLOB NOT NULL, ciphertext BLOB NOT NULL, PRIMARY KEY (team, correlation_id, slot)) WITHOUT ROWID""",
    ),
    (
        # Ids that providers gave to what they store, by the team that owns the state.
        """CREATE TABLE owned (team TEXT NOT NULL, id TEXT NOT NULL, ends INTEGER NOT NULL, record BLOB NOT NULL,
           PRIMARY KEY (team, id)) WITHOUT ROWID""",
    ),
    (
        # What operators accepted of the tools of a server. A record may be large, so not in the index itself.
        "CREATE TABLE pins (server TEXT PRIMARY KEY, record BLOB NOT NULL)",
    ),
    (
        # The tokens of users at tool servers, sealed.
        "CREATE TABLE grants (id TEXT PRIMARY KEY, record BLOB NOT NULL)",
    ),
    (
        # Registered agents. A record may be large, so not in the index itself.
        """CREATE TABLE registry (team TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, ends INTEGER NOT NULL,
           record BLOB NOT NULL, PRIMARY KEY (team, name))""",
    ),
    (
        # Answers that are made in the background, by when somebody is to ask for them again.
        "CREATE TABLE dues (id TEXT PRIMARY KEY, at INTEGER NOT NULL, record BLOB NOT NULL)",
        "CREATE INDEX dues_at ON dues (at)",
        # Records that wait, in their order, and the newest figures of each name.
        """CREATE TABLE queued (number INTEGER PRIMARY KEY, queue TEXT NOT NULL, owner TEXT NOT NULL,
           record BLOB NOT NULL)""",
        "CREATE TABLE figures (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, record BLOB NOT NULL)",
        "CREATE INDEX figures_of ON figures (name, seq)",
    ),
)


def outdated(connection: sqlite3.Connection) -> bool:
    """Whether the file is from an older release; an empty file is not."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone() is None:
        return False
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return row is not None and 0 < row[0] < len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate the file to the newest version, in one transaction. Raises `ConfigError` for a file that is newer."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    version = row[0] if row else 0
    if version > len(MIGRATIONS):
        connection.execute("ROLLBACK")
        raise ConfigError(
            f"state: {path} has schema version {version}, but this release supports {len(MIGRATIONS)}: "
            "it was written by a newer release. Run that release, or name another file"
        )
    for statement in (statement for step in MIGRATIONS[version:] for statement in step):
        connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (len(MIGRATIONS),))
    connection.execute("COMMIT")
