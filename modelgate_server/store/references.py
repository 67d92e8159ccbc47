"""
Find what refers to blobs and to versions. A blob that nothing refers to belongs to an upload in progress, or is no
longer needed.
"""

import json
import sqlite3
from collections.abc import Iterable

# A pending version keeps the manifests that it has: they are small, and the blobs that they name may still arrive.
_BLOBS = (
    "SELECT md5 FROM entries WHERE md5 IS NOT NULL",
    "SELECT md5 FROM run_files",
    "SELECT manifest_md5 AS md5 FROM artifacts WHERE state = 'COMMITTED'",
    "SELECT manifests.md5 FROM manifests JOIN artifacts ON artifacts.id = artifact_id"
    " WHERE state = 'PENDING' AND manifests.md5 IS NOT NULL",
)
# SQLite takes at most 999 values in one statement by default.
_CHUNK = 500


def list_blobs(db: sqlite3.Connection) -> set[str]:
    """Return the MD5 of every blob that something refers to."""
    return {md5 for (md5,) in db.execute(" UNION ".join(_BLOBS))}


def select_referenced(db: sqlite3.Connection, md5s: list[str]) -> set[str]:
    """Return those of some blobs that something refers to."""
    referenced: set[str] = set()
    for start in range(0, len(md5s), _CHUNK):
        chunk = md5s[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        sql = f"SELECT md5 FROM ({' UNION ALL '.join(_BLOBS)}) WHERE md5 IN ({marks})"  # noqa: S608  our own text
        referenced.update(md5 for (md5,) in db.execute(sql, chunk))
    return referenced


def select_durable(db: sqlite3.Connection, md5s: Iterable[str]) -> set[str]:
    """Return those of some blobs that were made durable. Only these can be in a version or among a run's files."""
    sql = "SELECT md5 FROM blobs WHERE durable AND md5 IN (SELECT value FROM json_each(?))"
    return {md5 for (md5,) in db.execute(sql, (json.dumps(list(md5s)),))}


def remember(db: sqlite3.Connection, md5s: Iterable[str]) -> None:
    """Record that blobs were made durable, so that no one has to read their bytes to trust them."""
    sql = "INSERT INTO blobs (md5, durable) VALUES (?, 1) ON CONFLICT DO UPDATE SET durable = 1"
    db.executemany(sql, [(md5,) for md5 in md5s])


def forget(db: sqlite3.Connection, md5s: Iterable[str]) -> None:
    """Remove the records of blobs, so that the next upload makes them durable again."""
    db.executemany("DELETE FROM blobs WHERE md5 = ?", [(md5,) for md5 in md5s])


def list_sizes(db: sqlite3.Connection) -> dict[str, int | None]:
    """Return, for every blob that something refers to, how many bytes it must have, if a row says so."""
    sizes: dict[str, int | None] = dict.fromkeys(list_blobs(db))
    sizes.update(db.execute("SELECT md5, size FROM run_files"))
    sizes.update(db.execute("SELECT md5, size FROM entries WHERE md5 IS NOT NULL"))
    return sizes


def describe_owner(db: sqlite3.Connection, md5: str) -> str:
    """Describe something that refers to a blob."""
    entry = db.execute("SELECT path, artifact_id FROM entries WHERE md5 = ?", (md5,)).fetchone()
    if entry:
        return f'file "{entry[0]}" of version {name_version(db, entry[1])}'
    file = db.execute(
        "SELECT run_files.name, entities.name || '/' || projects.name || '/' || runs.name"
        " FROM run_files JOIN runs ON runs.id = run_id JOIN projects ON projects.id = project_id"
        " JOIN entities ON entities.id = entity_id WHERE md5 = ?",
        (md5,),
    ).fetchone()
    if file:
        return f'file "{file[0]}" of run {file[1]}'
    version = db.execute("SELECT id FROM artifacts WHERE manifest_md5 = ?", (md5,)).fetchone()
    return f"the manifest of version {name_version(db, version[0])}" if version else "the manifest of a draft"


# The SDK refers to a file of another version by the version's id in hex and the path
# (storage_handlers/wb_artifact_handler.py).
_SCHEME = "wandb-artifact://"


def list_referring(db: sqlite3.Connection, artifact_id: int) -> list[int]:
    """Return the versions that contain files of a version, like a table with pictures that were logged elsewhere."""
    start = f"{_SCHEME}{f'Artifact:{artifact_id}'.encode().hex()}"
    sql = (
        "SELECT DISTINCT artifact_id FROM entries JOIN artifacts ON artifacts.id = artifact_id"
        " WHERE ref >= ? AND ref < ? AND state = 'COMMITTED' AND artifact_id != ? ORDER BY artifact_id"
    )
    # "0" comes right after "/"
    return [referring_id for (referring_id,) in db.execute(sql, (f"{start}/", f"{start}0", artifact_id))]


def list_dangling(db: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return (version, path) of files that are in a version that no longer exists."""
    sql = (
        "SELECT artifact_id, path, ref FROM entries JOIN artifacts ON artifacts.id = artifact_id"
        " WHERE state = 'COMMITTED' AND ref >= ? AND ref < ? ORDER BY artifact_id, path"
    )
    committed = {
        f"Artifact:{artifact_id}".encode().hex()
        for (artifact_id,) in db.execute("SELECT id FROM artifacts WHERE state = 'COMMITTED'")
    }
    return [
        (artifact_id, path)
        for artifact_id, path, ref in db.execute(sql, (_SCHEME, f"{_SCHEME[:-1]}0"))
        if ref.removeprefix(_SCHEME).partition("/")[0].lower() not in committed
    ]


def name_version(db: sqlite3.Connection, artifact_id: int) -> str:
    """Return a version's name as people write it: entity/project/name:v3."""
    sql = (
        "SELECT entities.name || '/' || projects.name || '/' || collections.name || ':v' || version_index"
        " FROM artifacts JOIN collections ON collections.id = sequence_id"
        " JOIN projects ON projects.id = collections.project_id JOIN entities ON entities.id = entity_id"
        " WHERE artifacts.id = ?"
    )
    return str(db.execute(sql, (artifact_id,)).fetchone()[0])
