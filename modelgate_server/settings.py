"""What the server was told at its start, and the limits that no one has to choose."""

import os
from dataclasses import dataclass
from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# `wandb verify` sends a variable of 10 MB, and a run's config or summary may be as large.
MAX_GRAPHQL_BYTES = 32 * MIB
# The SDK writes its documents itself; the longest is under 8 kB. A longer one only costs time, and memory in the cache.
MAX_GRAPHQL_DOCUMENT_CHARS = 32 * KIB
# The SDK's longest has 250; to compare thousands of fields of one name takes seconds.
MAX_GRAPHQL_TOKENS = 6_000
# The SDK nests 12 deep at most; runs -> artifacts -> runs -> ... would grow without end.
MAX_GRAPHQL_DEPTH = 24
# The SDK sends at most 10 MiB a request and a line of at most 10 MiB; gzip may hide more than it shows.
MAX_FILE_STREAM_BYTES = 32 * MIB
# The SDK sends a file of up to 2 GiB in one PUT. One PUT must not be able to fill a disk unnoticed.
MAX_UPLOAD_BYTES = 8 * GIB
# A manifest is read into memory at commit: 256 MiB is about a million files.
MAX_MANIFEST_BYTES = 256 * MIB
# The status page counts operations and what was refused; the SDK has some 150 operations, a hostile client more.
MAX_METRICS = 500
MAX_METRIC_CHARS = 200
# The SDK asks for at most 2,000 upload addresses a call. Each item costs some statements, in a transaction that holds
# everybody else up.
MAX_LIST_ITEMS = 10_000
# The SDK's largest page is 5,000 files.
MAX_PAGE = 10_000
# W&B's own limit for names of projects, collections, aliases and tags.
MAX_NAME_CHARS = 128
# A sweep's configuration is written by a person; YAML is read at less than a megabyte a second.
MAX_SWEEP_CHARS = 128 * KIB
# A logical path inside an artifact, or the name of a run's file; Linux allows 4,096 bytes for a path.
MAX_PATH_CHARS = 4096
# A large artifact may be uploaded over hours; the address is worthless for any other content.
UPLOAD_TTL_S = 24 * 3600
# The SDK fetches a list of addresses first and asks for a new one when one has expired.
DOWNLOAD_TTL_S = 6 * 3600
# The SDK gives a sign of life every 30 s: who missed three of them has crashed.
RUN_SILENCE_S = 120
# How often that is looked at, and which versions have outlived their time.
WATCH_S = 15
# What another process may hold the database for (admin, gc, a copy of its pages) is over in this time; a client that
# waits longer would rather know.
BUSY_S = 5.0
# After a burst the write-ahead log is cut back to this: a few seconds of the fastest client.
KEPT_WAL_BYTES = 64 * MIB
# Every header that a client or a proxy sends fits into 8 KiB; they are kept in memory before anybody is known.
MAX_HEADER_BYTES = 64 * KIB
# A head comes in one piece. Longer than a server that was suspended for half a minute.
HEAD_S = 60
# A body may take long over a thin line, but it must go on; so long may be between two pieces of it.
BODY_SILENCE_S = 60
# So long the rest of a body is thrown away that belongs to a request which is answered already.
LINGER_S = 10
# A body that is kept in memory: 32 MiB in two minutes is 2 Mbit/s.
BODY_S = 120
# The bodies of four of the largest requests. What is over it is told to try again.
MAX_BODIES_BYTES = 128 * MIB
# One process of the SDK sends one at a time.
LARGE_BODIES = 2
# So long a further one waits, and then is told to try again; the SDK's own patience is a minute and more.
BODY_WAIT_S = 30
# Up to here a body is nothing to wait for: the SDK's own are a few kilobytes.
SMALL_BODY_BYTES = MIB
# The SDK's slowest question takes less than a second; a thread that works for longer slows everybody else down.
REQUEST_S = 10.0
# One process of the SDK asks for two things at once. Python itself runs one thread at a time.
USER_THREADS = 4
# People look at one page at a time.
PAGE_THREADS = 3
HEALTH_THREADS = 1
# A thread that computes lets others run after so long (Python's own 5 ms add up, a thread after the other).
SWITCH_S = 0.001
# Leaves of an answer, by what is asked for: page sizes multiplied along each path. The SDK's largest is below 200,000.
MAX_GRAPHQL_COST = 2_000_000
# Fields of one document for which a whole history has to be read. The SDK has at most three.
MAX_HEAVY_FIELDS = 20
# Mutations of one document, which are one transaction. The SDK sends one.
MAX_MUTATIONS = 10
# Texts in an answer: a config of the largest size, or a history of half a million rows.
MAX_ANSWER_CHARS = 64 * MIB
# Lines, or files of a version, that are written in one transaction, for which all other writers wait: some 20 ms.
SLICE = 2_000
# The SDK's process is silent for up to 30 s and then uses the same connection: closing it just then costs it a retry.
KEEP_ALIVE_S = 120
# A client that keeps its connection open must not keep the server from stopping.
SHUTDOWN_S = 3

# Where W&B's own server for one machine listens, too.
DEFAULT_PORT = 8080


def default_data() -> Path:
    """The person's own folder for it, by the XDG Base Directory Specification; without a home, one right here."""
    try:
        return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "modelgate-server"
    except RuntimeError:
        return Path("modelgate-server")


@dataclass(frozen=True)
class Settings:
    """`external_url` is the address that is handed to clients, e.g. `http://modelgate-server:8080` when they sit in
    another container than the person's browser. None: the address by which each request reached the server.

    `port` is None for the default one, or any free one if that is taken. `any_entity` makes each entity that a client
    names: for tests, and only throwaway.py sets it. `key_file`: where the
    person who started the server keeps the key that they gave it; the login page names that file."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int | None = 0
    external_url: str | None = None
    any_entity: bool = False
    key_file: str | None = None
