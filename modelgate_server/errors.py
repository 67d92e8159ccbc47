"""
Everything that the server refuses, one class a cause.

    ServerError           400   base; also what a bug of ours becomes on the wire
      Invalid             400   a value that breaks a rule
      Unauthenticated     401   no key, or a key that is not known
      Forbidden           403   the key is good, the right is missing
      NotFound            404   no such thing, or none that this user may see
        UnknownEntity     404   no one has an entity of this name
      TooLarge            413   over a limit of settings.py
      TooLong             400   it took longer, or would answer more, than one request may
      Broken              400   the disk, the folder or the database does not take or give what it should
      Stopping            503   the server is on its way out
      Busy                503   too much is under way at once
    StartError                  the server or a command cannot start: exit code 2, with a hint

Only two of them are a 408, 409, 429 or 5xx: on those the SDK tries again for minutes, or for days. While the server
stops that is right: the next try finds the server that comes after it, or no one, as it would without an answer. When
too much is under way it is right too: it passes.
"""

from typing import ClassVar


class ServerError(Exception):
    status: ClassVar[int] = 400


class Invalid(ServerError):
    pass


class Unauthenticated(ServerError):
    status = 401


class Forbidden(ServerError):
    status = 403


class NotFound(ServerError):
    status = 404


class UnknownEntity(NotFound):
    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class TooLarge(ServerError):
    status = 413


class Broken(ServerError):
    pass


class TooLong(ServerError):
    pass


class Busy(ServerError):
    status = 503


class Stopping(ServerError):
    status = 503


class StartError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
