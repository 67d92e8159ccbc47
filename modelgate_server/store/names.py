"""Check names. Each function returns its value, or raises an error of one sentence."""

import re
from pathlib import PurePosixPath

from modelgate_server.errors import Invalid
from modelgate_server.settings import MAX_NAME_CHARS, MAX_PATH_CHARS

# The alias that the server itself keeps on the newest version of every collection.
LATEST = "latest"
_NAME = re.compile(r"[^/\\#?%:]+")
_TAG = re.compile(r"[-\w]+( +[-\w]+)*")
_VERSION = re.compile(r"v(\d{1,9})", re.ASCII)
# Half a surrogate pair can be written in JSON, but not in UTF-8.
_NO_PATH = re.compile(r"[\x00\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def _check_length(text: str, what: str) -> str:
    if not text or len(text) > MAX_NAME_CHARS or _CONTROL.search(text):
        raise Invalid(
            f'{what} "{text[:80]}" must have 1 to {MAX_NAME_CHARS} characters, none of them a control character'
        )
    return text


def check_plain(text: str, what: str) -> str:
    """Return a name that is valid as one segment of a reference or a page's address: an entity, a project, a run."""
    if not _NAME.fullmatch(_check_length(text, what)) or text in {".", ".."}:
        raise Invalid(f'{what} "{text}" may not contain / \\ # ? % : or be . or ..')
    return text


def check_collection(text: str) -> str:
    """Return a name as W&B allows it: without the two characters that end a name in a reference."""
    if "/" in text or ":" in text or text in {".", ".."}:
        raise Invalid(f'artifact name "{text}" may not contain / or : or be . or ..')
    return _check_length(text, "artifact name")


def check_type(text: str) -> str:
    if "/" in text or ":" in text:
        raise Invalid(f'artifact type "{text}" may not contain / or :')
    return _check_length(text, "artifact type")


def check_alias(text: str) -> str:
    if "/" in text or ":" in text:
        raise Invalid(f'alias "{text}" may not contain / or :')
    return _check_length(text, "alias")


def check_tag(text: str) -> str:
    if not _TAG.fullmatch(_check_length(text, "tag")):
        raise Invalid(f'tag "{text}" may only have letters, digits, - and _, with spaces between')
    return text


def check_run_tag(text: str) -> str:
    return _check_length(text, "tag")


def parse_version(text: str) -> int | None:
    """Return 3 for "v3", None for anything else."""
    match = _VERSION.fullmatch(text)
    return int(match[1]) if match else None


def check_entry_path(text: str) -> str:
    """Return a logical path in an artifact: relative, and inside it."""
    return _check_relative(_check_path(text, "path"), text)


def normalize_run_file(text: str) -> str:
    """Return a run file's name, normalized: the SDK asks for "./a.txt" after it stored "a.txt"."""
    return _check_relative(str(PurePosixPath(_check_path(text, "file name"))), text)


def _check_path(text: str, what: str) -> str:
    """Allow whatever a file system allows in a file's name, including tabs and line breaks."""
    if not text or len(text) > MAX_PATH_CHARS or _NO_PATH.search(text):
        raise Invalid(f'{what} "{text[:80]}" must have 1 to {MAX_PATH_CHARS} characters, none of them a NUL')
    return text


def _check_relative(path: str, given: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise Invalid(f'path "{given[:80]}" must be relative and may not contain ..')
    return path
