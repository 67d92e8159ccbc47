"""
Hostile requests, made by dice: every field of the GraphQL schema and every address of the application.

Half of what is sent is real (names and ids of things that are there), or nothing would get far enough to break.
"""

import base64
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
)

from modelgate_server.api.graphql_api import SCHEMA

DEEP = 3_000
TEXTS = [
    "", " ", ".", "..", "../../../etc/passwd", "/etc/passwd", "a/../../b", "C:\\x", "a\0b", "\ud800", "\udfff\ud800",
    "é" * 100, "\u202e", "²", "١٢", "x" * 129, "x" * 5_000, "%", "%" * 60_000, "_", "'; DROP TABLE runs; --", "NaN",
    "<script>alert(1)</script>", "{{7*7}}", "latest", "v0", "v1", "v99999999999", "v²", "wandb-registry-", "a\r\nX: y",
    "-1", "9" * 5_000, "9223372036854775808", "1e999", "null", "{}", "[", "[" * DEEP, '{"a":' * DEEP, "\x1b[2J", "🤖",
    "data:", "file:///etc/passwd", "javascript:alert(1)", "|id", "$(id)", "--help", "a=b&c=d", "?", "#", ":", "a:b:c",
    "2026-13-45T99:99", "1" * 33, "0" * 32, "1B2M2Y8AsgTpgAmY7PhCfg==", "%a" * 2_000,
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 50, 10_000, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**40, 1.5, -0.0]
NUMBERS += [1e308, -1e308, math.nan, math.inf, 5e-324]
JUNK = [None, True, False, [], {}, [None], {"a": None}, "1", 1, 1.5, [[]], {"input": {}}]
KINDS = ("Artifact", "ArtifactCollection", "ArtifactManifest", "Run", "File", "Project", "User", "Entity", "Sweep")
OPERATORS = ("$and", "$or", "$nor", "$not", "$eq", "$ne", "$in", "$nin", "$gt", "$lte", "$regex", "$contains")
OPERATORS += ("$exists", "$where", "$")
FIELDS = ("name", "state", "tags", "config.a", "summary_metrics.a", "createdAt", "metadata.a", "alias", "tag", "id")
FIELDS += ("description", "size", "version", "entity_id", "username", "nothing", "", "\ud800", "keys", "minStep")
FIELDS += ("maxStep", "samples", "_step", "parameters", "method", "metric", "values", "min", "max", "distribution")
PATTERNS = ["(a+)+$", "(", "(?R)", "a{1000}{1000}", "(?=a)", "\\", "(a|a)*b", "[", "\ud800", "x*" * 100]
YAML = [
    "method: grid\nparameters: {a: {values: [1, 2]}}", "method: grid\nparameters: {a: {min: 0, max: 99999999999}}",
    "method: random\nparameters: {a: {min: .nan, max: .inf}}", "a: &a [*a]", "!!python/object/apply:os.system [id]",
    "method: random\nparameters: {a: {distribution: q_normal, q: 0}}", "method: grid\nparameters: {a: {values: []}}",
    "method: random\nparameters: {a: {values: [1], probabilities: [-1, 2]}}", "method: grid\nparameters: {a: 5}",
    "method: random\nparameters: {a: {distribution: log_uniform, min: 0, max: 1e308}}", "method: [", "a: 2026-99-99",
    "method: random\nparameters: {a: {mu: x, distribution: normal}}", "method: random\nparameters: {1: {value: 1}}",
    "method: random\nparameters: {a: {min: 1, max: 2, distribution: [1]}}", "? {a: b}\n: c",
    'a0: &a0 {value: x}\n' + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
    + "method: random\nparameters: {b: {value: *a9}}",
    "method: random\nparameters: {a: {value: 2026-01-01}}", "method: random\nparameters: {a: {value: !!set {a}}}",
    "method: grid\nparameters: {a: {value: 1}}\nrun_cap: -5", "method: random\nparameters: {}\nmetric: {name: [1]}",
    "method: random\nparameters: {a: {value: !!binary aGk=}}", "method: random\nparameters: {a: {value: .nan}}",
    "method: random\nparameters: {a: {value: 1}}\nname: [1]", "method: random\nparameters: {a: {value: 1}}\nname: 1",
]  # fmt: skip


@dataclass
class Dice:
    """What is thrown: `known` holds real values by the name of the argument that takes them, "" for any."""

    dice: random.Random
    known: dict[str, list[str]] = field(default_factory=dict)
    hostile: float = 0.2

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def text(self, name: str = "") -> str:
        real = self.known.get(name) or self.known.get("", [])
        if real and not self.chance(self.hostile if name in self.known else 0.5):
            return self.dice.choice(real)
        if self.chance(0.15):
            kind, number = self.dice.choice(KINDS), self.dice.choice(NUMBERS)
            return base64.b64encode(f"{kind}:{number}".encode()).decode()
        if self.chance(0.2):
            return "".join(
                chr(self.dice.choice((0, 9, 47, 58, 92, 0x7F, 0xFFFF, 0x1F600, 0xDC00, 97))) for _ in range(5)
            )
        return self.dice.choice(TEXTS)

    def tree(self, depth: int = 0) -> Any:
        """A JSON value, often shaped like a filter or a history row."""
        roll = self.dice.random()
        if depth > 4 or roll < 0.3:
            return self.dice.choice([*NUMBERS, *JUNK, *PATTERNS, self.text()])
        if roll < 0.5:
            return [self.tree(depth + 1) for _ in range(self.dice.randrange(4))]
        names = (*OPERATORS, *FIELDS)
        return {self.dice.choice(names): self.tree(depth + 1) for _ in range(self.dice.randrange(1, 4))}

    def json_text(self) -> str:
        if self.chance(0.1):
            nested = self.dice.choice((50, 90, 200, 450, 900, DEEP))
            return '{"a":' * nested + "1" + "}" * nested
        if self.chance(0.1):
            return self.dice.choice(TEXTS)
        if self.chance(0.2):
            return json.dumps({self.dice.choice(FIELDS): {"$regex": self.dice.choice(PATTERNS)}})
        found = self.tree()
        return json.dumps(found if isinstance(found, dict) else {self.dice.choice(FIELDS): found})

    # --- GraphQL ------------------------------------------------------------------------------------------------

    def value(self, kind: Any, name: str) -> Any:
        """For an argument of a type."""
        if self.chance(0.01):
            return self.dice.choice(JUNK)
        if isinstance(kind, GraphQLNonNull):
            return self.value(kind.of_type, name)
        if isinstance(kind, GraphQLList):
            return [self.value(kind.of_type, name) for _ in range(self.dice.choice((0, 1, 1, 2, 3)))]
        if isinstance(kind, GraphQLInputObjectType):
            return {
                key: self.value(one.type, key)
                for key, one in kind.fields.items()
                if isinstance(one.type, GraphQLNonNull) or self.chance(0.6)
            }
        if isinstance(kind, GraphQLEnumType):
            return self.dice.choice(list(kind.values))
        scalars: dict[str, Callable[[], Any]] = {
            "Int": lambda: self.dice.choice([0, 1, 2, 50, -1, 2**31 - 1, -(2**31), 10_000]),
            "Int64": lambda: self.dice.choice([one for one in NUMBERS if isinstance(one, int)]),
            "Float": lambda: self.dice.choice(NUMBERS),
            "Boolean": lambda: self.chance(0.5),
            "JSONString": self.json_text,
            "JSON": self.tree,
            "Duration": lambda: self.dice.choice(NUMBERS),
        }
        if name == "config" and kind.name == "String":
            return self.dice.choice(YAML)
        return scalars.get(kind.name, lambda: self.text(name))()

    def operation(self, root: str, name: str) -> dict[str, Any]:
        """A request with this field of Query or Mutation, what can be selected of it, and values for every argument."""
        variables: dict[str, tuple[str, Any]] = {}
        # One wrong value among right ones is found elsewhere than many at once.
        self.hostile = self.dice.choice((0.02, 0.1, 0.4))
        kind = SCHEMA.query_type if root == "query" else SCHEMA.mutation_type
        assert kind is not None
        selected = self._selected(name, kind.fields[name], variables, 0)
        declared = ", ".join(f"${key}: {one[0]}" for key, one in variables.items())
        document = f"{root} Fuzz{f'({declared})' if declared else ''} {{ {selected} }}"
        return {"query": document, "variables": {key: one[1] for key, one in variables.items()}}

    def _selected(self, name: str, field: GraphQLField, variables: dict[str, tuple[str, Any]], depth: int) -> str:
        given = []
        for argument, spec in field.args.items():
            if isinstance(spec.type, GraphQLNonNull) or self.chance(0.5):
                key = f"a{len(variables)}"
                variables[key] = (str(spec.type), self.value(spec.type, argument))
                given.append(f"{argument}: ${key}")
        arguments = f"({', '.join(given)})" if given else ""
        label = f"f{len(variables)}_{self.dice.randrange(10**6)}"
        return f"{label}: {name}{arguments}{self._below(field.type, variables, depth)}"

    def _below(self, outer: Any, variables: dict[str, tuple[str, Any]], depth: int) -> str:
        kind = get_named_type(outer)
        if is_leaf_type(kind):
            return ""
        if isinstance(kind, GraphQLUnionType):
            return " { __typename " + " ".join(
                f"... on {one.name}{self._below(one, variables, depth + 1)}" for one in kind.types
            ) + " }"  # fmt: skip
        assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)
        fields = []
        for name, one in kind.fields.items():
            leaf = is_leaf_type(get_named_type(one.type))
            if leaf or (depth < 7 and self.chance(0.9 if name in ("edges", "node") else 0.35 / (1 + depth / 2))):
                fields.append(self._selected(name, one, variables, depth + 1))
        return " { __typename " + " ".join(fields) + " }"

    # --- addresses ----------------------------------------------------------------------------------------------

    def path(self, template: str) -> str:
        """An address of a route, percent-encoded in several ways or not at all."""

        def part(match: re.Match[str]) -> str:
            return self.encoded(self.text(match[1]))

        return re.sub(r"\{(\w+)(?::\w+)?\}", part, template)

    def encoded(self, text: str) -> str:
        if self.chance(0.05):
            return self.dice.choice(("%00", "%ff", "%", "%2", "..%2f..%2f", "%c0%ae%c0%ae/", "%ed%a0%80", "//", ";"))
        safe = "/" if self.chance(0.2) else ""
        return quote(text[:2_000].encode("utf-8", "surrogatepass"), safe=safe)
