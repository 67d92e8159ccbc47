"""Estimate how much a GraphQL document asks for, before it is executed."""

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

from modelgate_server.api.shapes import DEFAULT_PAGE
from modelgate_server.settings import MAX_PAGE

# Each of these fields may require reading everything that a run has logged.
HEAVY = {"historyKeys", "history", "events", "sampledHistory", "logLines"}
# Lists without pages: most have one or two items.
SHORT_LIST = 3


def count_heavy_fields(document: DocumentNode) -> int:
    """Count how often a document names one of the heavy fields."""
    waiting: list[SelectionSetNode | None] = [getattr(node, "selection_set", None) for node in document.definitions]
    count = 0
    while waiting:
        for node in getattr(waiting.pop(), "selections", ()):
            count += isinstance(node, FieldNode) and node.name.value in HEAVY
            waiting.append(getattr(node, "selection_set", None))
    return count


def estimate(schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any], operation: str | None) -> int:
    """Count the values that the answer would have if every page were full: the sizes of nested pages are multiplied."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    sums: dict[str, int] = {}

    def sum_selections(selections: SelectionSetNode | None, kind: Any) -> int:
        return sum(estimate_node(node, kind) for node in selections.selections) if selections else 0

    def estimate_node(node: Any, kind: Any) -> int:
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in sums:
                sums[name] = sum_selections(fragments[name].selection_set, resolve_condition(fragments[name], kind))
            return sums[name]
        if isinstance(node, InlineFragmentNode):
            return sum_selections(node.selection_set, resolve_condition(node, kind))
        field = getattr(kind, "fields", {}).get(node.name.value)
        if field is None:
            return 1  # __typename
        return 1 + _estimate_items(node, field, variables) * sum_selections(
            node.selection_set, get_named_type(field.type)
        )

    def resolve_condition(node: Any, kind: Any) -> Any:
        return schema.type_map[node.type_condition.name.value] if node.type_condition else kind

    return sum(
        sum_selections(
            node.selection_set, schema.mutation_type if node.operation.value == "mutation" else schema.query_type
        )
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
        and (operation is None or not node.name or node.name.value == operation)
    )


def _estimate_items(node: FieldNode, field: GraphQLField, variables: dict[str, Any]) -> int:
    """Return the most items that one field may have."""
    sizes = [
        _number(argument.value, variables)
        for argument in node.arguments or ()
        if argument.name.value in ("first", "last")
    ]
    if "first" in field.args:
        return min(max((size for size in sizes if size is not None), default=DEFAULT_PAGE), MAX_PAGE)
    return SHORT_LIST if get_named_type(field.type).name.endswith("Connection") else 1


def _number(value: Any, variables: dict[str, Any]) -> int | None:
    if isinstance(value, VariableNode):
        number = variables.get(value.name.value)
        return number if isinstance(number, int) and number >= 0 else None
    return int(value.value) if isinstance(value, IntValueNode) else None
