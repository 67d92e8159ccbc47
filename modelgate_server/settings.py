"""Define the settings of the server, and the fixed limits."""

import os
from dataclasses import dataclass
from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# `wandb verify` sends a variable of 10 MB, and a run's config or summary may be as large.
MAX_GRAPHQL_BYTES = 32 * MIB
# The SDK writes its own documents; the longest is below 8 kB. A longer one only wastes time and cache memory.
MAX_GRAPHQL_DOCUMENT_CHARS = 32 * KIB
# The SDK's longest has 250. Comparing thousands of fields with the same name takes seconds.
MAX_GRAPHQL_TOKENS = 6_000
# The SDK nests at most 12 levels; runs -> artifacts -> runs -> ... would grow without end.
MAX_GRAPHQL_DEPTH = 24
# The SDK sends at most 10 MiB per request and per line; gzip may contain more than its size suggests.
MAX_FILE_STREAM_BYTES = 32 * MIB
# The SDK sends a file of up to 2 GiB in one PUT. A single PUT should not fill a disk unnoticed.
MAX_UPLOAD_BYTES = 8 * GIB
# A manifest is read into memory at commit: 256 MiB is about a million files.
MAX_MANIFEST_BYTES = 256 * MIB
# The status page counts operations and what was refused; the SDK has some 150 operations, a hostile client more.
MAX_METRICS = 500
MAX_METRIC_CHARS = 200
# The SDK asks for at most 2,000 upload addresses per call. Each item takes some statements in a transaction, which
# blocks all other writers.
MAX_LIST_ITEMS = 10_000
# The SDK's largest page is 5,000 files.
MAX_PAGE = 10_000
# W&B's own limit for names of projects, collections, aliases and tags.
MAX_NAME_CHARS = 128
# A sweep's configuration is written by hand; YAML is read at less than a megabyte per second.
MAX_SWEEP_CHARS = 128 * KIB
# A logical path inside an artifact, or the name of a run's file; Linux allows 4,096 bytes for a path.
MAX_PATH_CHARS = 4096
# A large artifact may take hours to upload; the address works only for its content.
UPLOAD_TTL_S = 24 * 3600
# The SDK first fetches a list of addresses, and asks for a new one if an address has expired.
DOWNLOAD_TTL_S = 6 * 3600
# The SDK sends a heartbeat every 30 s: a run that missed three of them has crashed.
RUN_SILENCE_S = 120
# How often to check this, and the versions whose time to live is over.
WATCH_S = 15
# Other processes (admin, gc, a copy of the pages) hold the database for less than this; a client that waits longer gets
# an error.
BUSY_S = 5.0
# After a burst, the write-ahead log is truncated to this size: a few seconds of the fastest client.
KEPT_WAL_BYTES = 64 * MIB
# All headers of a client or a proxy fit into 8 KiB; they are in memory before the user is known.
MAX_HEADER_BYTES = 64 * KIB
# How long a head may take. It arrives in one piece, but a server may be suspended for half a minute.
HEAD_S = 60
# The longest pause between two pieces of a body. It may take long on a slow connection, but it must continue.
BODY_SILENCE_S = 60
# How long to discard the rest of a body after the request was answered.
LINGER_S = 10
# How long a body that is kept in memory may take: 32 MiB in two minutes is 2 Mbit/s.
BODY_S = 120
# Room for the bodies of four of the largest requests. Further clients are asked to try again.
MAX_BODIES_BYTES = 128 * MIB
# Large bodies per user at once. One process of the SDK sends one at a time.
LARGE_BODIES = 2
# How long a further body waits before its client is asked to try again; the SDK itself waits for more than a minute.
BODY_WAIT_S = 30
# A body up to this size does not have to wait: the SDK's own are a few kilobytes.
SMALL_BODY_BYTES = MIB
# The SDK's slowest query takes less than a second; a thread that works longer slows everyone else down.
REQUEST_S = 10.0
# One process of the SDK makes two requests at once. Python itself runs one thread at a time.
USER_THREADS = 4
# People look at one page at a time.
PAGE_THREADS = 3
HEALTH_THREADS = 1
# A computing thread lets others run after this time. Python's default of 5 ms adds up over several threads.
SWITCH_S = 0.001
# Estimated values in an answer: page sizes are multiplied along each path. The SDK's largest is below 200,000.
MAX_GRAPHQL_COST = 2_000_000
# Fields of one document that need a whole history. The SDK's documents have at most three.
MAX_HEAVY_FIELDS = 20
# Mutations in one document, which are one transaction. The SDK sends one.
MAX_MUTATIONS = 10
# Characters in an answer: enough for a config of the largest size, or a history of half a million rows.
MAX_ANSWER_CHARS = 64 * MIB
# Lines, or files of a version, per transaction, which blocks all other writers for some 20 ms.
SLICE = 2_000
# The SDK may be silent for up to 30 s and then use the same connection again; if it was just closed, the SDK retries.
KEEP_ALIVE_S = 120
# A client with an open connection cannot keep the server from stopping for longer than this.
SHUTDOWN_S = 3

# The port of W&B's own server for one machine.
DEFAULT_PORT = 8080


def get_default_data() -> Path:
    """
    Return the user's own data folder, by the XDG Base Directory Specification; without a home, one in the current
    folder.
    """
    try:
        return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "modelgate-server"
    except RuntimeError:
        return Path("modelgate-server")


@dataclass(frozen=True)
class Settings:
    """
    `external_url` is the address that clients get, for example `http://modelgate-server:8080` if they are in another
    container than the browser. None means the address by which each request reached the server.

    `port` is None for the default port, or any free one if that is taken. `any_entity` creates each entity that a
    client names: it is for tests, and only throwaway.py sets it. `key_file` is the file in which the person who started
    the server keeps the key; the login page names that file.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int | None = 0
    external_url: str | None = None
    any_entity: bool = False
    key_file: str | None = None
