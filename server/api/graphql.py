"""
POST /graphql: one request, one snapshot of the database or one transaction.

Documents are parsed and validated once: the SDK sends the same few dozen over and over. Whatever fails becomes a body
with `errors` and a status on which the SDK does not try again (see errors.py).
"""

import json
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ariadne import ScalarType, make_executable_schema
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute_sync,
    parse,
    validate,
)
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.api import artifacts, collections, files, projects, registry, runs, sweeps, teams, viewer
from server.api.http import addresses, authenticated, body, failure, services
from server.api.shapes import Addresses, Call
from server.errors import Invalid, ServerError
from server.settings import MAX_GRAPHQL_BYTES, MAX_GRAPHQL_DEPTH, MAX_GRAPHQL_DOCUMENT_CHARS
from server.store.accounts import User
from server.store.blobs import Blobs
from server.store.db import Database

log = logging.getLogger("server")
CACHED_DOCUMENTS = 256


class MutationFailed(Exception):
    """Carries a failed mutation's result out of its transaction, which is rolled back."""

    def __init__(self, result: ExecutionResult) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True)
class Prepared:
    """A document that may be executed, or why it may not."""

    document: DocumentNode | None
    errors: list[GraphQLError]


def _snake_case(name: str, _schema: GraphQLSchema, _path: tuple[str, ...]) -> str:
    """artifactID -> artifact_id, hexMD5 -> hex_md5."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{value!r} is not a whole number")
    if not -(2**63) <= value < 2**63:
        raise Invalid(f"{value} does not fit into 64 bits")
    return value


SCHEMA = make_executable_schema(
    (Path(__file__).parent / "schema.graphql").read_text(),
    ScalarType("Int64", value_parser=_integer),
    *viewer.TYPES,
    *projects.TYPES,
    *runs.TYPES,
    *files.TYPES,
    *artifacts.TYPES,
    *collections.TYPES,
    *registry.TYPES,
    *teams.TYPES,
    *sweeps.TYPES,
    convert_names_case=_snake_case,
)


@lru_cache(CACHED_DOCUMENTS)
def prepare(text: str) -> Prepared:
    try:
        document = parse(text, no_location=False)
    except GraphQLError as error:
        return Prepared(None, [error])
    except RecursionError:
        return Prepared(None, [GraphQLError("the query is nested too deep to be read")])
    errors = validate(SCHEMA, document)
    if not errors and _depth(document) > MAX_GRAPHQL_DEPTH:
        errors = [GraphQLError(f"the query is nested deeper than {MAX_GRAPHQL_DEPTH}")]
    return Prepared(document, errors)


def _depth(document: DocumentNode) -> int:
    """Of a valid document, whose fragments make no circle."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}

    @lru_cache(None)
    def of_fragment(name: str) -> int:
        return of(fragments[name].selection_set)

    def of(selections: SelectionSetNode | None) -> int:
        if selections is None:
            return 0
        depths = [
            of_fragment(node.name.value)
            if isinstance(node, FragmentSpreadNode)
            else 1 + of(getattr(node, "selection_set", None))
            for node in selections.selections
        ]
        return max(depths, default=0)

    return max(of(node.selection_set) for node in document.definitions if isinstance(node, OperationDefinitionNode))


async def endpoint(request: Request) -> Response:
    received = await body(request, MAX_GRAPHQL_BYTES)
    return await run_in_threadpool(_respond, request, received)


def _respond(request: Request, received: bytes) -> Response:
    here = services(request)
    with here.database.read() as db:
        user = authenticated(request, db)
    status, answer = respond(here.database, here.blobs, user, addresses(request), received)
    return JSONResponse(answer, status)


def respond(
    database: Database, blobs: Blobs, user: User, addresses: Addresses, body: bytes
) -> tuple[int, dict[str, Any]]:
    """Status and JSON answer of a GraphQL request."""
    text, variables, operation = _request(body)
    prepared = prepare(text)
    if prepared.document is None or prepared.errors:
        for error in prepared.errors:
            log.warning("refused %s: %s", _operation_name(text), error.message)
        return 400, failure([(_in_double_quotes(error.message), 400) for error in prepared.errors])

    def execute(db: Any) -> ExecutionResult:
        call = Call(db, blobs, user, addresses)
        assert prepared.document is not None  # noqa: S101  for the type checker; checked above
        return execute_sync(SCHEMA, prepared.document, None, call, variables, operation)

    if not _is_mutation(prepared.document):
        with database.read() as db:
            return _answer(execute(db), text)
    try:
        with database.write() as db:
            result = execute(db)
            if result.errors:
                raise MutationFailed(result)
    except MutationFailed as failed:
        result = failed.result
    return _answer(result, text)


def _request(body: bytes) -> tuple[str, dict[str, Any], str | None]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("the request's body is not JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        raise Invalid('the request must be a JSON object with a string "query"')
    text, variables, operation = request["query"], request.get("variables") or {}, request.get("operationName") or None
    if len(text) > MAX_GRAPHQL_DOCUMENT_CHARS:
        raise Invalid(f"the query has more than {MAX_GRAPHQL_DOCUMENT_CHARS} characters")
    if not isinstance(variables, dict) or not (operation is None or isinstance(operation, str)):
        raise Invalid('"variables" must be an object and "operationName" a string')
    return text, variables, operation


def _is_mutation(document: DocumentNode) -> bool:
    return any(
        isinstance(node, OperationDefinitionNode) and node.operation is OperationType.MUTATION
        for node in document.definitions
    )


def _operation_name(text: str) -> str:
    found = re.search(r"\b(?:query|mutation)\s+(\w+)", text)
    return found[1] if found else "an unnamed operation"


def _in_double_quotes(message: str) -> str:
    """Older SDKs look for: Cannot query field "x" on type "Y"."""
    return message.replace("'", '"')


def _answer(result: ExecutionResult, text: str) -> tuple[int, dict[str, Any]]:
    if not result.errors:
        return 200, {"data": result.data}
    refusals = [_refusal(error, _operation_name(text)) for error in result.errors]
    return refusals[0][1], failure(refusals)


def _refusal(error: GraphQLError, operation: str) -> tuple[str, int]:
    """What to tell the client: the sentence of an error of ours, and of a bug only that it is one."""
    cause = error.original_error
    if isinstance(cause, ServerError):
        log.info("%s: %s", operation, cause)
        return str(cause), cause.status
    if cause is None or isinstance(cause, GraphQLError):
        log.warning("refused %s: %s", operation, error.message)
        return error.message, 400
    log.error("%s failed", operation, exc_info=cause)
    return f"internal error in {operation}: see the server's log", 400
