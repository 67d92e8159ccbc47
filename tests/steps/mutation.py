"""
A pytest plugin that takes the rules out of the modules named by MUTATE, one at a time, and wants a test to go red.

MUTATE: names of modules, separated by spaces. test_approval_mutation.py has the command.

Rules are found in the source, so a new one is taken out like the others, and fails here until a test needs it. All is
done in one process: a function gets the code that it would have without the rule, and the tests that run through that
line run again.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

MODULES = [importlib.import_module(name) for name in os.environ["MUTATE"].split()]
FILES = {module.__file__ for module in MODULES}


@dataclass(frozen=True)
class Mutant:
    """A module without one rule. lines: where the rule stood, each with the module's file."""

    module: ModuleType
    rule: str
    lines: frozenset[tuple[str, int]]
    tree: ast.Module


# --- what counts as a rule -------------------------------------------------------------------------------------------


def without(parent, name, node):
    """What stands in a node's place when its rule is not there, as a list; None where a node is no rule."""
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
        case ast.Tuple(elts=[_, _, *_]), ast.Constant():  # one of several values that are meant
            return []
        case ast.Tuple(elts=[_, _, *_]), _ if ast.unparse(node).endswith(("Error", "Exception")):  # are caught
            return []
        case _, ast.BinOp(op=ast.Sub()):
            return [node.left]
        case _, ast.Call(func=ast.Attribute(attr="lower")):
            return [node.func.value]
        case _, ast.Call(func=ast.Name("one_line")):
            return [node.args[0]]
        # What makes a call a careful one.
        case ast.Call(), ast.Name("_NoRedirect") | ast.Attribute(attr="ASCII") | ast.keyword("timeout"):
            return []
        case ast.Call(), ast.Attribute(attr="fullmatch"):
            return [ast.Attribute(node.value, "match", node.ctx)]
        case ast.Call(func=ast.Name("variable") | ast.Attribute(attr="variable"), args=[_, pattern]), _ if (
            node is pattern
        ):
            return [ast.Constant(".*")]
    return None


def mutants(module):
    """One for each rule in the module's functions, in the order of its lines."""
    whole = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    found = []
    for function in (top for top in whole.body if isinstance(top, ast.FunctionDef)):
        for parent in ast.walk(function):
            for name, value in ast.iter_fields(parent):
                children = value if isinstance(value, list) else [value]
                for place, node in enumerate(children):
                    if (instead := without(parent, name, node)) is None:
                        continue
                    several = [*children[:place], *instead, *children[place + 1 :]]
                    setattr(parent, name, several if isinstance(value, list) else instead[0])
                    tree = ast.fix_missing_locations(copy.deepcopy(whole))
                    setattr(parent, name, value)
                    where = f"{module.__name__.rpartition('.')[2]}.{function.name}, line {node.lineno}"
                    rule = f"{where}: {ast.unparse(node).splitlines()[0][:100]}"
                    lines = frozenset((module.__file__, line) for line in range(node.lineno, node.end_lineno + 1))
                    found.append(Mutant(module, rule, lines, tree))
    return sorted(found, key=lambda mutant: min(mutant.lines))


@contextmanager
def in_place(mutant):
    """The module's functions are those of the mutant, also where another module has imported one by its name."""
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


# --- the tests, again and again --------------------------------------------------------------------------------------

failed = []


def pytest_runtest_logreport(report):
    if report.failed:
        failed.append(report.nodeid)


def goes_red(item):
    failed.clear()
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return bool(failed)


def lines_of(item):
    """The modules' lines that a test runs through. With every rule in its place the test has to be green."""
    lines = set()

    def trace(frame, *_):
        if frame.f_code.co_filename not in FILES:
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        assert not goes_red(item), f"{item.nodeid} is red with every rule in its place"
    finally:
        sys.settrace(None)
    return lines


def pytest_runtestloop(session):
    lines = {item: lines_of(item) for item in session.items}
    needless = 0
    for mutant in (mutant for module in MODULES for mutant in mutants(module)):
        with in_place(mutant):
            near = (item for item in session.items if lines[item].intersection(mutant.lines))
            red = next((item.name for item in near if goes_red(item)), None)
        needless += red is None
        print(f"{mutant.rule} -> {red or 'NO TEST GOES RED'}")
    session.testsfailed = needless
    return True
