"""Files with one MD5, and where the server keeps a file."""

from __future__ import annotations

from base64 import b64decode

# Two files with one MD5: Wang, Feng, Lai and Yu, "Collisions for hash functions", 2004.
ONE = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91d"
    "bdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bc"
    "b6a8839396f9652b6ff72a70"
)
OTHER = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a085125e8f7cdc99fd91d"
    "bd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0e99f33420f577ee8ce54b67080280d1ec69821bc"
    "b6a8839396f965ab6ff72a70"
)


def stored(server, version, name):
    """Return the server's own file behind a version's file. It may be written to: no other server has it."""
    md5 = b64decode(version.manifest.entries[name].digest).hex()
    (path,) = server.data.rglob(md5)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path
