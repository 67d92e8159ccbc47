"""
POST /graphql: one request, one snapshot of the database or one transaction.

Documents are parsed and validated once: the SDK sends the same few dozen over and over. Whatever fails becomes a body
with `errors` and a status on which the SDK does not try again (see errors.py).
"""

import json
import logging
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ariadne import ScalarType, SchemaBindable, make_executable_schema
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
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
from starlette.responses import Response

from modelgate_server.api import artifact_collections, artifacts, files, projects, registry, runs, sweeps, teams, viewer
from modelgate_server.api.handling import addresses, authenticated, body, failure, is_shared, services
from modelgate_server.api.shapes import Call, Info
from modelgate_server.api.tally import Tally
from modelgate_server.errors import Invalid, ServerError, TooLarge, UnknownEntity
from modelgate_server.settings import (
    MAX_GRAPHQL_BYTES,
    MAX_GRAPHQL_DEPTH,
    MAX_GRAPHQL_DOCUMENT_CHARS,
    MAX_GRAPHQL_TOKENS,
    MAX_LIST_ITEMS,
)
from modelgate_server.store import accounts
from modelgate_server.store.accounts import User
from modelgate_server.store.db import Database
from modelgate_server.store.documents import longest_list, sent
from modelgate_server.store.faults import fault

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


@dataclass(frozen=True)
class Asked:
    """The operation of one request, and who sent it."""

    operation: str
    client: str
    tally: Tally

    def answered(self) -> None:
        self.tally.answered(self.operation, self.client)

    def refuse(self, error: GraphQLError) -> str:
        """Log and count what is not known here; returns what to tell the client."""
        named = error.message.partition(", found: ")[0]  # what the client sent stays out of the log and the page
        log.warning("refused %s: %s", self.operation, named)
        self.tally.refused(self.operation, named, self.client)
        return error.message.replace("'", '"')  # older SDKs look for: Cannot query field "x" on type "Y".


@lru_cache(None)
def _snake_case(name: str) -> str:
    """artifactID -> artifact_id, hexMD5 -> hex_md5."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{value!r} is not a whole number")
    if not -(2**63) <= value < 2**63:
        raise Invalid(f"{value} does not fit into 64 bits")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("JSON is sent as a string here")
    return value


class Rows(SchemaBindable):
    """Gives every field that has no resolver of its own the row's or the dictionary's value of its name."""

    def bind_to_schema(self, schema: GraphQLSchema) -> None:
        for kind in schema.type_map.values():
            if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
                for field in kind.fields.values():
                    field.resolve = field.resolve or self.value

    @staticmethod
    def value(source: Any, info: Info, **_: Any) -> Any:
        """A value that is missing is a bug of ours, and not a null: nothing is half-answered."""
        name = _snake_case(info.field_name)
        return source[name] if isinstance(source, dict) else getattr(source, name)


SCHEMA = make_executable_schema(
    (Path(__file__).parent / "schema.graphql").read_text(),
    ScalarType("Int64", value_parser=_integer),
    ScalarType("JSONString", value_parser=_text),
    *viewer.TYPES,
    *projects.TYPES,
    *runs.TYPES,
    *files.TYPES,
    *artifacts.TYPES,
    *artifact_collections.TYPES,
    *registry.TYPES,
    *teams.TYPES,
    *sweeps.TYPES,
    Rows(),  # last: only what the others have left
    convert_names_case=lambda name, *_: _snake_case(name),
)


@lru_cache(CACHED_DOCUMENTS)
def prepare(text: str) -> Prepared:
    try:
        document = parse(text, max_tokens=MAX_GRAPHQL_TOKENS)
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
    text, variables, operation = _request(received)
    asked = Asked(_operation_name(text), request.headers.get("user-agent", ""), here.tally)
    prepared = prepare(text)
    if prepared.document is None or prepared.errors:
        status, answer = 400, failure([(asked.refuse(error), 400) for error in prepared.errors])
    else:
        call = partial(Call, blobs=here.blobs, user=user, addresses=addresses(request), shared=is_shared(request))
        execute = partial(_execute, here.database, prepared.document, call, variables, operation)
        result = execute()
        if here.settings.any_entity and _make_entities(here.database, user, result):
            result = execute()
        status, answer = _answer(result, asked)
    # Escaped, so that half a surrogate pair in what somebody logged does not cost the whole answer.
    return Response(json.dumps(answer, allow_nan=False), status, media_type="application/json")


def _execute(
    database: Database,
    document: DocumentNode,
    call: Callable[[sqlite3.Connection], Call],
    variables: dict[str, Any],
    operation: str | None,
) -> ExecutionResult:
    if not _is_mutation(document):
        with database.read() as db:
            return execute_sync(SCHEMA, document, None, call(db), variables, operation)
    try:
        with database.write() as db:
            mine = call(db)
            result = execute_sync(SCHEMA, document, None, mine, variables, operation)
            if result.errors:
                raise MutationFailed(result)
    except MutationFailed as failed:
        return failed.result
    for follow in mine.afterwards:
        follow()
    return result


def _make_entities(database: Database, user: User, result: ExecutionResult) -> bool:
    """Make a team of every unknown entity that an operation failed on; whether there was one."""
    causes = [error.original_error for error in result.errors or []]
    unknown = {cause.name for cause in causes if isinstance(cause, UnknownEntity)}
    for name in unknown:
        with database.write() as db:
            accounts.ensure_team(db, name, user)
    return bool(unknown)


def _request(body: bytes) -> tuple[str, dict[str, Any], str | None]:
    request = sent(body, "the request's body")
    if not isinstance(request.get("query"), str):
        raise Invalid('the request must be a JSON object with a string "query"')
    text, variables, operation = request["query"], request.get("variables") or {}, request.get("operationName") or None
    if len(text) > MAX_GRAPHQL_DOCUMENT_CHARS:
        raise Invalid(f"the query has more than {MAX_GRAPHQL_DOCUMENT_CHARS} characters")
    if not isinstance(variables, dict) or not (operation is None or isinstance(operation, str)):
        raise Invalid('"variables" must be an object and "operationName" a string')
    if longest_list(variables) > MAX_LIST_ITEMS:
        raise TooLarge(f"a list in the variables has more than {MAX_LIST_ITEMS} items")
    return text, variables, operation


def _is_mutation(document: DocumentNode) -> bool:
    return any(
        isinstance(node, OperationDefinitionNode) and node.operation is OperationType.MUTATION
        for node in document.definitions
    )


def _operation_name(text: str) -> str:
    found = re.search(r"\b(?:query|mutation)\s+(\w+)", text)
    return found[1] if found else "an unnamed operation"


def _answer(result: ExecutionResult, asked: Asked) -> tuple[int, dict[str, Any]]:
    errors = result.errors or []
    if all(isinstance(error.original_error, ServerError) for error in errors):
        asked.answered()  # with a value or a no: it is known
    refusals = [_refusal(error, asked) for error in errors]
    return (refusals[0][1], failure(refusals)) if refusals else (200, {"data": result.data})


def _refusal(error: GraphQLError, asked: Asked) -> tuple[str, int]:
    """What to tell the client: the sentence of an error of ours, and of a bug only that it is one."""
    cause = error.original_error
    if isinstance(cause, ServerError):
        log.info("%s: %s", asked.operation, cause)
        return str(cause), cause.status
    broken = fault(cause)
    if broken is not None:
        log.error("%s: %s (%s)", asked.operation, broken, cause)
        return str(broken), broken.status
    if cause is None or isinstance(cause, GraphQLError):
        return asked.refuse(error), 400
    log.error("%s failed", asked.operation, exc_info=cause)
    return f"internal error in {asked.operation}: see the server's log", 400
