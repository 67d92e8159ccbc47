"""
Serve POST /graphql: each request uses one snapshot of the database, or one transaction.

The transaction of a mutation covers only its own work, because all other writers wait for it. The fields of the answer
are read afterwards, in the snapshot that directly follows the transaction.

Documents are parsed and validated once, because the SDK sends the same few dozen again and again. An error becomes a
body with `errors` and a status on which the SDK does not retry (see errors.py).
"""

import json
import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import Any, TypeVar

from ariadne import ScalarType, SchemaBindable, make_executable_schema
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    NameNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute_sync,
    parse,
    validate,
)
from starlette.requests import Request
from starlette.responses import Response

from modelgate_server.api import (
    artifact_collections,
    artifacts,
    cost,
    memberships,
    projects,
    registry,
    run_files,
    runs,
    sweeps,
    teams,
    viewer,
)
from modelgate_server.api.bounds import Deadline, enforce_deadline
from modelgate_server.api.handling import (
    build_failure,
    get_addresses,
    get_services,
    hold_body,
    identify_user,
    is_shared,
    run_in_lane,
)
from modelgate_server.api.metrics import Metrics
from modelgate_server.api.shapes import Call, Info
from modelgate_server.errors import Broken, Invalid, ServerError, TooLarge, TooLong, UnknownEntity
from modelgate_server.settings import (
    MAX_GRAPHQL_BYTES,
    MAX_GRAPHQL_COST,
    MAX_GRAPHQL_DEPTH,
    MAX_GRAPHQL_DOCUMENT_CHARS,
    MAX_GRAPHQL_TOKENS,
    MAX_HEAVY_FIELDS,
    MAX_LIST_ITEMS,
    MAX_MUTATIONS,
)
from modelgate_server.store import accounts
from modelgate_server.store.accounts import User
from modelgate_server.store.db import Database
from modelgate_server.store.documents import measure_longest_list, parse_body
from modelgate_server.store.faults import translate_error

log = logging.getLogger("server")
CACHED_DOCUMENTS = 256
# Only longer texts are counted; shorter ones cannot add up to the limit.
LONG_CHARS = 1_000
# Mutations that read files, or do too much work for one transaction.
SELF_TRANSACTING = {"commitArtifact", "createArtifact", "createArtifactFiles"}
NOTHING = SelectionSetNode(selections=(FieldNode(name=NameNode(value="__typename"), arguments=(), directives=()),))


class MutationFailed(Exception):
    """Carries the result of a failed mutation out of its transaction, which is rolled back."""

    def __init__(self, result: ExecutionResult) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True)
class Prepared:
    """
    A document that may be executed, or the reason why not; for a mutation, also the document without selected fields.
    """

    document: DocumentNode | None
    errors: list[GraphQLError]
    bare: DocumentNode | None = None


@dataclass(frozen=True)
class Asked:
    """The operation of one request, and who sent it."""

    operation: str
    client: str
    metrics: Metrics

    def count_answer(self) -> None:
        self.metrics.count_answer(self.operation, self.client)

    def refuse(self, error: GraphQLError) -> str:
        """Log and count what is not supported; return the message for the client."""
        named = error.message.partition(", found: ")[
            0
        ]  # what the client sent does not appear in the log or on the page
        log.warning("refused %s: %s", self.operation, named)
        self.metrics.count_refusal(self.operation, named, self.client)
        return error.message.replace("'", '"')  # older SDKs look for: Cannot query field "x" on type "Y".


@lru_cache(None)
def _to_snake_case(name: str) -> str:
    """artifactID -> artifact_id, hexMD5 -> hex_md5."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _parse_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{value!r} is not a whole number")
    if not -(2**63) <= value < 2**63:
        raise Invalid(f"{value} does not fit into 64 bits")
    return value


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("JSON is sent as a string here")
    return value


class Rows(SchemaBindable):
    """Resolves every field without its own resolver to the value of this name in the row or the dictionary."""

    def bind_to_schema(self, schema: GraphQLSchema) -> None:
        for kind in schema.type_map.values():
            if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
                for field in kind.fields.values():
                    field.resolve = field.resolve or self.read_value

    @staticmethod
    def read_value(source: Any, info: Info, **_: Any) -> Any:
        """Treat a missing value as a bug, not as null, so that no answer is incomplete."""
        name = _to_snake_case(info.field_name)
        value = source[name] if isinstance(source, dict) else getattr(source, name)
        if isinstance(value, str):
            if len(value) > LONG_CHARS:
                info.context.deadline.spend(len(value))
        elif isinstance(value, list):
            info.context.deadline.check()
        return value


class Once(SchemaBindable):
    """Lets a mutation be executed twice: the first time for its effect, the second time only for its answer."""

    def bind_to_schema(self, schema: GraphQLSchema) -> None:
        for field in schema.mutation_type.fields.values() if schema.mutation_type else ():
            if field.resolve is not None:
                field.resolve = self.wrap(field.resolve)

    @staticmethod
    def wrap(resolve: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(resolve)
        def resolve_once(source: Any, info: Info, **arguments: Any) -> Any:
            payloads, key = info.context.payloads, info.path.key
            if key not in payloads:
                payloads[key] = resolve(source, info, **arguments)
                info.context.begin_answer()
            return payloads[key]

        return resolve_once


SCHEMA = make_executable_schema(
    (Path(__file__).parent / "schema.graphql").read_text(),
    ScalarType("Int64", value_parser=_parse_integer),
    ScalarType("JSONString", value_parser=_parse_text),
    *viewer.TYPES,
    *projects.TYPES,
    *runs.TYPES,
    *run_files.TYPES,
    *artifacts.TYPES,
    *artifact_collections.TYPES,
    *memberships.TYPES,
    *registry.TYPES,
    *teams.TYPES,
    *sweeps.TYPES,
    Once(),
    Rows(),  # last, because it resolves only the remaining fields
    convert_names_case=lambda name, *_: _to_snake_case(name),
)


NodeT = TypeVar("NodeT", bound=Node)


@lru_cache(CACHED_DOCUMENTS)
def prepare(text: str) -> Prepared:
    try:
        document = parse(text, max_tokens=MAX_GRAPHQL_TOKENS)
    except GraphQLError as error:
        return Prepared(None, [error])
    except RecursionError:
        return Prepared(None, [GraphQLError("the query is nested too deep to be read")])
    errors = validate(SCHEMA, document)
    if not errors and _measure_depth(document) > MAX_GRAPHQL_DEPTH:
        errors = [GraphQLError(f"the query is nested deeper than {MAX_GRAPHQL_DEPTH}")]
    if not errors and cost.count_heavy_fields(document) > MAX_HEAVY_FIELDS:
        errors = [GraphQLError(f"the query asks for more than {MAX_HEAVY_FIELDS} histories: ask for fewer at a time")]
    if errors or not _is_mutation(document):
        return Prepared(document, errors)
    try:
        return Prepared(document, [], _strip_selections(document))
    except GraphQLError as error:
        return Prepared(document, [error])


def _strip_selections(document: DocumentNode) -> DocumentNode:
    """Return the same mutations without selected fields."""
    definitions = []
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            fields = [field for field in node.selection_set.selections if isinstance(field, FieldNode)]
            if len(fields) < len(node.selection_set.selections) or len(fields) > MAX_MUTATIONS:
                raise GraphQLError(f"a request may have at most {MAX_MUTATIONS} mutations, and none in a fragment")
            bare = tuple(_copy_node(field, selection_set=NOTHING) if field.selection_set else field for field in fields)
            node = _copy_node(node, selection_set=SelectionSetNode(selections=bare))
        definitions.append(node)
    return DocumentNode(definitions=tuple(definitions))


def _copy_node(node: NodeT, **changes: Any) -> NodeT:
    """
    Return a copy with these fields changed. In graphql-core 3.3, nodes are dataclasses; the package also supports 3.2.
    """
    return type(node)(**{key: getattr(node, key) for key in node.keys} | changes)


def _measure_depth(document: DocumentNode) -> int:
    """Return how deep a valid document is nested. Its fragments are not circular."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}

    @lru_cache(None)
    def measure_fragment(name: str) -> int:
        return measure(fragments[name].selection_set)

    def measure(selections: SelectionSetNode | None) -> int:
        if selections is None:
            return 0
        depths = [
            measure_fragment(node.name.value)
            if isinstance(node, FragmentSpreadNode)
            else 1 + measure(getattr(node, "selection_set", None))
            for node in selections.selections
        ]
        return max(depths, default=0)

    return max(
        measure(node.selection_set) for node in document.definitions if isinstance(node, OperationDefinitionNode)
    )


async def receive(request: Request) -> Response:
    user = await identify_user(request)
    async with hold_body(request, MAX_GRAPHQL_BYTES, user) as received:
        return await run_in_lane(request, user, partial(_respond, request, user, received))


def _respond(request: Request, user: User, received: bytes, deadline: Deadline) -> Response:
    services = get_services(request)
    with services.lanes.hold_memory(len(received)):
        deadline.start()
        return _answer_request(request, user, received, deadline)


def _answer_request(request: Request, user: User, received: bytes, deadline: Deadline) -> Response:
    services = get_services(request)
    text, variables, operation = _parse_request(received)
    asked = Asked(_read_operation_name(text), request.headers.get("user-agent", ""), services.metrics)
    prepared = prepare(text)
    if prepared.document is None or prepared.errors:
        status, answer = 400, build_failure([(asked.refuse(error), 400) for error in prepared.errors])
    else:
        call = partial(
            Call,
            blobs=services.blobs,
            user=user,
            addresses=get_addresses(request),
            database=services.database,
            deadline=deadline,
            lanes=services.lanes,
            shared=is_shared(request),
        )
        asks = partial(execute_sync, SCHEMA, variable_values=variables, operation_name=operation)
        document = prepared.document
        if cost.estimate(SCHEMA, document, variables, operation) > MAX_GRAPHQL_COST:
            raise TooLong("the query asks for too much at once: smaller pages, or fewer of them inside each other")

        def execute() -> ExecutionResult:
            if prepared.bare is None:
                return _read(services.database, deadline, lambda db: asks(document, context_value=call(db)))
            return _change(services.database, prepared, asks, call)

        result = execute()
        if services.settings.any_entity and _make_entities(services.database, user, result):
            result = execute()
        status, answer = _answer(result, asked)
    # Escaped, so that half a surrogate pair in logged data does not break the whole answer.
    return Response(json.dumps(answer, allow_nan=False), status, media_type="application/json")


Asks = Callable[..., ExecutionResult]


def _read(
    database: Database, deadline: Deadline, ask: Callable[[sqlite3.Connection], ExecutionResult]
) -> ExecutionResult:
    with database.read() as db, enforce_deadline(db, deadline):
        return ask(db)


def _change(
    database: Database, prepared: Prepared, asks: Asks, call: Callable[[sqlite3.Connection], Call]
) -> ExecutionResult:
    """Run 1) the mutations in one transaction, without their selected fields, 2) the selected fields."""

    if _is_self_transacting(prepared.document):
        return _change_in_steps(database, prepared.document, asks, call)

    def mutate(db: sqlite3.Connection) -> Call:
        mine = call(db)
        result = asks(prepared.bare, context_value=mine)
        if result.errors:
            raise MutationFailed(result)
        return mine

    try:
        with database.write_then_read(mutate) as (db, mine), enforce_deadline(db, mine.deadline):
            return asks(prepared.document, context_value=replace(mine, db=db))
    except MutationFailed as failed:
        return failed.result


def _change_in_steps(
    database: Database, document: DocumentNode | None, asks: Asks, call: Callable[[sqlite3.Connection], Call]
) -> ExecutionResult:
    """Run a mutation that opens its own transactions. The selected fields are read in the snapshot right after it."""
    with ExitStack() as answer:

        def begin_answer() -> None:
            mine.deadline.start()
            answer.enter_context(enforce_deadline(answer.enter_context(database.read()), mine.deadline))

        mine = replace(call(database.get_connection()), begin_answer=begin_answer)
        return asks(document, context_value=mine)


def _is_self_transacting(document: DocumentNode | None) -> bool:
    """Return whether the mutation uses several transactions, because one would block all other writers."""
    names = [
        field.name.value
        for node in (document.definitions if document else ())
        if isinstance(node, OperationDefinitionNode)
        for field in node.selection_set.selections
        if isinstance(field, FieldNode)
    ]
    if SELF_TRANSACTING.isdisjoint(names):
        return False
    if len(names) > 1:
        raise Invalid(f"{min(SELF_TRANSACTING.intersection(names))} must be the only mutation of its request")
    return True


def _make_entities(database: Database, user: User, result: ExecutionResult) -> bool:
    """Create a team for every unknown entity that an operation failed on; return whether there was one."""
    causes = [error.original_error for error in result.errors or []]
    unknown = {cause.name for cause in causes if isinstance(cause, UnknownEntity)}
    for name in unknown:
        with database.write() as db:
            accounts.ensure_team(db, name, user)
    return bool(unknown)


def _parse_request(body: bytes) -> tuple[str, dict[str, Any], str | None]:
    request = parse_body(body, "the request's body")
    if not isinstance(request.get("query"), str):
        raise Invalid('the request must be a JSON object with a string "query"')
    text, variables, operation = request["query"], request.get("variables") or {}, request.get("operationName") or None
    if len(text) > MAX_GRAPHQL_DOCUMENT_CHARS:
        raise Invalid(f"the query has more than {MAX_GRAPHQL_DOCUMENT_CHARS} characters")
    if not isinstance(variables, dict) or not (operation is None or isinstance(operation, str)):
        raise Invalid('"variables" must be an object and "operationName" a string')
    if measure_longest_list(variables) > MAX_LIST_ITEMS:
        raise TooLarge(f"a list in the variables has more than {MAX_LIST_ITEMS} items")
    return text, variables, operation


def _is_mutation(document: DocumentNode) -> bool:
    return any(
        isinstance(node, OperationDefinitionNode) and node.operation is OperationType.MUTATION
        for node in document.definitions
    )


def _read_operation_name(text: str) -> str:
    match = re.search(r"\b(?:query|mutation)\s+(\w+)", text)
    return match[1] if match else "an unnamed operation"


def _answer(result: ExecutionResult, asked: Asked) -> tuple[int, dict[str, Any]]:
    errors = result.errors or []
    if all(isinstance(error.original_error, ServerError) for error in errors):
        asked.count_answer()  # known to this server, whether answered or refused
    refusals = [_describe_refusal(error, asked) for error in errors]
    return (refusals[0][1], build_failure(refusals)) if refusals else (200, {"data": result.data})


def _describe_refusal(error: GraphQLError, asked: Asked) -> tuple[str, int]:
    """Return the message and the status for the client. A bug is only reported as a bug, without details."""
    cause = error.original_error
    if isinstance(cause, ServerError):
        log.info("%s: %s", asked.operation, cause)
        return str(cause), cause.status
    broken = translate_error(cause)
    if broken is not None:
        level = logging.ERROR if isinstance(broken, Broken) else logging.INFO
        log.log(level, "%s: %s (%s)", asked.operation, broken, cause)
        return str(broken), broken.status
    if cause is None or isinstance(cause, GraphQLError):
        return asked.refuse(error), 400
    log.error("%s failed", asked.operation, exc_info=cause)
    return f"internal error in {asked.operation}: see the server's log", 400
