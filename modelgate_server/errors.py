"""
Define everything that the server refuses, one class per cause.

    ServerError           400   base; also for a bug of the server
      Invalid             400   a value that breaks a rule
      Unauthenticated     401   no key, or an unknown key
      Forbidden           403   the key is valid, but lacks the permission
      NotFound            404   no such thing, or this user may not see it
        UnknownEntity     404   no one has an entity of this name
      TooLarge            413   over a limit of settings.py
      TooLong             400   it took longer, or would answer more, than one request may
      Broken              400   the disk, the folder or the database fails
      Stopping            503   the server is shutting down
      Busy                503   too many requests at once
    StartError                  the server or a command cannot start: exit code 2, with a hint

Only two of them are a 408, 409, 429 or 5xx: on those, the SDK retries for minutes, or for days. This is right while the
server stops: the next try finds the next server, or no server, as it would without an answer. It is also right for too
many requests, because that is temporary.
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
