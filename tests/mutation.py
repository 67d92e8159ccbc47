"""
Every rule is needed: without it, a test fails. The gate, the approval and promote share this engine.

`without_each_rule` runs tests in one separate process, in which this module is a pytest plugin. It finds the rules
in the source, so a new rule is removed, too, and this fails until a test needs it. To remove a rule, a function gets
the code that it would have without the rule; then the tests that execute that line run again.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

from tests.own import ROOT

NO_TEST = "NO TEST GOES RED"


@dataclass(frozen=True)
class Result:
    """The plugin's result. red: each rule, and the test that fails without it; NO_TEST if none does."""

    exit: int
    red: dict[str, str]
    log: str


def without_each_rule(
    modules: Iterable[str],
    tests: Iterable[str],
    *flags: str,
    own: Mapping[str, str] | None = None,
    timeout_s: int = 800,
) -> Result:
    """
    Remove every rule of these modules in turn.

    own: maps a function that is one rule to a part of the id of the test that must fail without it. If own is None,
    each statement and condition that refuses something is a rule, and any test may fail.
    """
    plugin = ["-p", "tests.mutation", "-p", "no:cacheprovider"]
    # Only the plugin prints: failing tests are not reported.
    silent = ["-s", "-p", "no:terminal", "-o", "addopts=--import-mode=importlib"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, *plugin, *silent, *flags],
        cwd=ROOT,
        env={**environ, "MUTATE": json.dumps({"modules": list(modules), "own": own}), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    red = dict(line.split(" -> ") for line in done.stdout.splitlines() if " -> " in line)
    return Result(done.returncode, red, done.stdout + done.stderr)


@dataclass(frozen=True)
class Mutant:
    """A module without one rule. lines: of the rule; function: the lines of its function. Each has its file."""

    module: ModuleType
    rule: str
    lines: frozenset[tuple[str, int]]
    function: frozenset[tuple[str, int]]
    tree: ast.Module


# --- what counts as a rule -------------------------------------------------------------------------------------------


def without(parent, name, node):
    """Return what replaces a node when its rule is removed, as a list; None if the node is not a rule."""
    match parent, node:
        case _, ast.Raise():
            return [ast.Pass()]
        case ast.BoolOp(), _ if name == "values" and not isinstance(node, ast.Constant):
            return [ast.Constant(isinstance(parent.op, ast.And))]
        case ast.comprehension(), _ if name == "ifs":
            return []
        case ast.If(body=[ast.Return()]), _ if name == "test":
            return [ast.Constant(True)]
        case ast.Return(), ast.Compare():
            return [ast.Constant(True)]
        case ast.Tuple(elts=[_, _, *_]), ast.Constant():  # one of several accepted values
            return []
        case ast.Tuple(elts=[_, _, *_]), _ if ast.unparse(node).endswith(("Error", "Exception")):  # as above
            return []
        case _, ast.BinOp(op=ast.Sub()):
            return [node.left]
        case _, ast.Call(func=ast.Attribute(attr="lower")):
            return [node.func.value]
        case _, ast.Call(func=ast.Name("to_line")):
            return [node.args[0]]
        # The arguments that make a call safe.
        case ast.Call(), ast.Name("_NoRedirect") | ast.Attribute(attr="ASCII") | ast.keyword("timeout"):
            return []
        case ast.Call(), ast.Attribute(attr="fullmatch"):
            return [ast.Attribute(node.value, "match", node.ctx)]
        case ast.Call(
            func=ast.Name("require_variable") | ast.Attribute(attr="require_variable"), args=[_, pattern]
        ), _ if node is pattern:
            return [ast.Constant(".*")]
    return None


class NeverRaises(ast.NodeTransformer):
    def visit_Raise(self, _):
        return ast.Pass()


def without_function(function):
    """Return the body of a function whose rule always holds; None if the function is not a rule."""
    match function:
        case ast.FunctionDef(returns=ast.Name("Ruling")):
            return ast.parse("return Ruling(True, '')").body
        case ast.FunctionDef(returns=ast.Constant(None)) if function.name.startswith("check_"):
            return [ast.Pass()]
        case ast.FunctionDef() if function.name.startswith("check_"):  # it also returns a value
            return NeverRaises().visit(copy.deepcopy(function)).body
    return None


def parts(function):
    """Yield every node in a function: its parent, the field, the nodes in that field, its index, and the node."""
    for parent in ast.walk(function):
        for name, value in ast.iter_fields(parent):
            children = value if isinstance(value, list) else [value]
            yield from ((parent, name, children, i, node) for i, node in enumerate(children))


def mutants(module, functions):
    """Yield a mutant per rule in the module's functions, in line order. functions: each function is one rule."""
    whole = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))

    def mutant(function, rule, node, holder, field, instead):
        before = getattr(holder, field)
        setattr(holder, field, instead)
        tree = ast.fix_missing_locations(copy.deepcopy(whole))
        setattr(holder, field, before)
        lines, around = (
            frozenset((module.__file__, line) for line in range(part.lineno, part.end_lineno + 1))
            for part in (node, function)
        )
        return Mutant(module, rule, lines, around, tree)

    for function in (top for top in whole.body if isinstance(top, ast.FunctionDef)):
        if functions:
            if (body := without_function(function)) is not None:
                yield mutant(function, function.name, function, function, "body", body)
            continue
        mutants_of_function = []
        for parent, name, children, i, node in parts(function):
            if (instead := without(parent, name, node)) is None:
                continue
            several = [*children[:i], *instead, *children[i + 1 :]]
            location = f"{module.__name__.rpartition('.')[2]}.{function.name}, line {node.lineno}"
            rule = f"{location}: {ast.unparse(node).splitlines()[0][:100]}"
            several = several if isinstance(getattr(parent, name), list) else instead[0]
            mutants_of_function.append(mutant(function, rule, node, parent, name, several))
        yield from sorted(mutants_of_function, key=lambda mutant: min(mutant.lines))


@contextmanager
def in_place(mutant):
    """Give the module the mutant's functions, also where another module has imported one by name."""
    compiled = compile(mutant.tree, mutant.module.__file__, "exec")
    codes = {code.co_name: code for code in compiled.co_consts if isinstance(code, CodeType)}
    named = [value for name, value in vars(mutant.module).items() if name in codes and inspect.isfunction(value)]
    functions = [inspect.unwrap(function) for function in named]
    before = [function.__code__ for function in functions]
    for function in functions:
        function.__code__ = codes[function.__name__]
    yield
    for function, code in zip(functions, before, strict=True):
        function.__code__ = code


# --- the plugin: the tests, again and again --------------------------------------------------------------------------

failed = []


def pytest_runtest_logreport(report):
    if report.failed:
        failed.append(report.nodeid)


def goes_red(item):
    failed.clear()
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return bool(failed)


def lines_of(item, files):
    """Return the lines of these files that a test executes. With every rule in place, the test must pass."""
    lines = set()

    def trace(frame, *_):
        if frame.f_code.co_filename not in files:
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        assert not goes_red(item), f"{item.nodeid} is red with every rule in its place"
    finally:
        sys.settrace(None)
    return lines


def nearest(mutant, lines, own):
    """
    Return the tests that execute a rule, the most specific first: one case of each test function before its other
    cases, and tests whose lines few others execute. own: what the id of the rule's own test must contain.
    """
    near = [item for item, covered in lines.items() if covered & mutant.lines]
    if own is not None:
        return [item for item in near if own in f"{item.nodeid}["]
    runs = Counter(line for covered in lines.values() for line in covered)
    rarest = {item: sorted(runs[line] for line in lines[item] & mutant.function)[0] for item in near}
    turns = Counter()
    turn = {}
    for item in sorted(near, key=lambda item: (rarest[item], min(runs[line] for line in lines[item]))):
        turns[item.function] += 1
        turn[item] = turns[item.function]
    return sorted(turn, key=turn.get)


def pytest_runtestloop(session):
    request = json.loads(os.environ["MUTATE"])
    modules = [importlib.import_module(name) for name in request["modules"]]
    lines = {item: lines_of(item, {module.__file__ for module in modules}) for item in session.items}
    needless = 0
    for mutant in (mutant for module in modules for mutant in mutants(module, request["own"] is not None)):
        own = None if request["own"] is None else request["own"].get(mutant.rule, "no test of its own")
        with in_place(mutant):
            red = next((item.name for item in nearest(mutant, lines, own) if goes_red(item)), None)
        needless += red is None
        print(f"{mutant.rule} -> {red or NO_TEST}")
    session.testsfailed = needless
    return True
