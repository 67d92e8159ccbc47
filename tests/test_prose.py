"""Texts are in plain English, and names are the trade's: `pytest tests/test_prose.py`."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize

import pytest

from modelgate.tracking.fingerprint import ROOT

# Constructions that read like a translation, and what to write instead.
CONSTRUCTIONS = {
    r"(?<!there )\b(is|are) (?-i:none)\b": "say what it is not, or that there is no ...",
    r"(?<!there )\b(is|are|was|were) no (?!longer\b|more\b|one\b)[a-z]": "is not a ..., or that there is no ...",
    r"\bnobody\b": "no one",
    r"\bbeside\b": "next to, in addition to",
    r"\b(mends?|mended|mending)\b": "fix",
    r"\bneedless\b": "unnecessary",
    r"\bfor want of\b": "because there is no ...",
    r"\bto be had\b": "available",
    r"\bstands? (above|below|beside|on)\b": "is above, is built on",
    r"\b(lies|lie) (in|there|below)\b": "is in",
    r"\bcut off\b": "interrupted",
    r"\bwhat passes is\b": "say who does what",
    r"\ba (script|behaviour|row|line|version|bar) (each|a change|an entry)\b": "one per",
    r"\b(whoever|whatever) (may|is at work|comes)\b": "anyone who can, what",
    r"^(Is|Are|Has|Does) (the|a|an|there) [^?.]*,": "If the ...",
    r"\bwas taken (away|by somebody)\b": "was removed, is in use",
    r"\b(goes|go|going|went) on(?= (from|reading|answering|behind|with)\b|[.,;:?]|$)": "continue",
    r"\bwhoever\b": "anyone who, the person who",
    r"\banew\b": "again",
    r"\bwhat it takes\b": "what is needed",
    r"\bsays? of\b": "says about",
    r"\b(some|any|every)body\b": "someone, anyone, everyone",
    r"\b(is|are) to be [a-z]+ed\b": "must be, will be",
    r"\bin the place of\b": "instead of; it replaces ...",
    r"\bstands? for\b": "means",
    r"\bhanded (on|out)\b": "passed, given",
    r"\bby nature\b": "naturally",
    r"\b[a-z]+ times in (five|ten|a hundred|twenty)\b": "times out of",
    r"\bpass(es|ed)? (it |them |the entry )?over\b": "skip",
    r"\b(switch|switches|switched) (it |that |this )?off\b": "disable",
    r"\b(heals?|healed)\b": "repair",
    r"\bheld to\b": "checked against",
    r"\bby the ledger\b": "according to the ledger",
    r"\btold apart\b": "distinguished",
    r"\bof (his|her|their) own\b": "their own ...",
}
NAMES = {"asked", "found", "here", "it", "one", "said", "there", "told"}
# Rooms that still have some of them.
NAMES_LEFT = {"modelgate_server/": {"asked", "said"}, "tests/server/": NAMES, "tests/web/": NAMES}
# The rooms whose functions begin with a verb.
ROOMS = (
    "benchmarks/",
    "modelgate/",
    "modelgate_server/",
    "pages/",
    "runner/",
    "serving/",
    "steps/",
    "tools/",
    ".github/",
)
# The first words of the functions; `as` and `to` convert.
VERBS = re.compile(
    r"""(?x)
    add | admit | allow | announce | answer | append | apply | approve | are | arrange | as | ask | assign |
    authenticate | become | begin | bin | bind | bootstrap | bound | build | call | can | canonicalize | chain |
    change | check | choose | clean | close | collect | commit | compare | compile | complete | compute | conclude |
    confirm | connect | convert | copy | correct | count | create | decode | define | delete | describe | detect |
    discard | dispatch | download | draw | drop | dump | edit | emit | encode | end | enforce | ensure | escape |
    estimate | evict | expect | expire | explain | fail | fetch | fill | find | fingerprint | finish | fit | flatten |
    flush | follow | forget | fork | format | fsync | get | give | greet | group | handle | has | hash | hold |
    identify | ignore | import | indent | infer | insert | inspect | install | is | join | judge | keep | label |
    leave | limit | link | list | listen | load | locate | lock | log | look | main | make | mark | match | may |
    measure | merge | migrate | move | name | normalize | number | offer | open | order | pack | paginate | parse |
    pass | passes | pause | peek | pick | pin | plan | plant | post | predict | prepare | print | promote | protect |
    prune | publish | pull | push | put | quote | reaches | read | receive | reconnect | record | redirect | refuse |
    register | remember | remove | rename | render | renew | renumber | repeat | replace | report | request |
    require | resolve | respond | restart | restore | resume | retrain | revoke | rewind | roll | round | run |
    sample | save | say | scale | seal | seed | select | send | serve | set | share | shorten | show | shrink | sign |
    signal | simulate | sort | spend | split | start | state | stop | store | strip | submit | suggest | sum |
    summarize | sync | tag | take | talk | tell | time | to | train | transact | translate | try | unlink | unpack |
    unprotect | unquote | untag | untangle | unwrap | update | upload | use | vary | verify | wait | walk | warm |
    was | watch | wrap | write
    """
)
# Functions whose names are a contract, and with whom.
CONTRACTS = {
    "modelgate/gate/rules.py": "evidence and reports print each rule's name",
    "modelgate/rows/checks.py": "build prints the name of each check of the rows",
    "modelgate/rows/image_checks.py": "as above",
    "modelgate/rows/table_checks.py": "as above",
    "modelgate/rows/text_checks.py": "as above",
    "modelgate/rows/images.py": "a use case's behaviour.py calls them",
    "modelgate/templates/": "a use case's files: the steps call these names",
    "modelgate/promotion/evidence_schema.py: field_title_should_be_set": "pydantic calls it",
    "runner/images.py: wanted": "find-use-cases calls it in earlier commits too",
    "modelgate_server/connection.py: connection_": "asyncio calls them",
    "modelgate_server/connection.py: data_received": "as above",
    "modelgate_server/connection.py: on_": "httptools calls them",
    "modelgate_server/process.py: startup": "uvicorn calls it",
    "modelgate_server/process.py: shutdown": "as above",
}
# What a decorator registers under a name that is not ours: a property, a field of the GraphQL schema, a fixture.
REGISTERS = re.compile(r"(cached_)?property|\w+\.field\(|\w+\.type_resolver$|pytest\.fixture")


def sentences(path: str) -> list[tuple[int, str]]:
    """Return the lines that a person reads, with their numbers: in Python, the strings and comments."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".html"):  # without the code of the template
        text = re.sub(r"{%.*?%}|{{.*?}}", "", text)
    if not path.endswith(".py"):
        return list(enumerate(text.splitlines(), 1))
    lines = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            lines += list(enumerate(token.string.splitlines(), token.start[0]))
    return lines


def remarks(path: str) -> list[tuple[int, str]]:
    """Return only the lines of the comments and docstrings, with their numbers: a test's other strings are its data."""
    text = (ROOT / path).read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    for node in ast.walk(ast.parse(text)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and (docstring := ast.get_docstring(node, clean=False)):
            lines += list(enumerate(docstring.splitlines(), node.body[0].lineno))
    return lines


def translated(lines: list[tuple[int, str]]) -> list[str]:
    return [
        f"line {number}: {match[0]!r}: {advice}"
        for number, line in lines
        for construction, advice in CONSTRUCTIONS.items()
        if (match := re.search(construction, line, re.IGNORECASE))
    ]


def names(text: str) -> set[str]:
    """Return the parameters and locals whose names do not say what they are, and `of` if a function is named so."""
    nodes = list(ast.walk(ast.parse(text)))
    used = {node.arg for node in nodes if isinstance(node, ast.arg)}
    used |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return used & NAMES | functions & {"of"}


def not_verbs(path: str, text: str) -> list[str]:
    """The functions and methods that do not begin with a verb; what is nested is local."""
    tree = ast.parse(text)
    holders = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    functions = [
        node for holder in holders for node in holder.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        f"{path}: {function.name}"
        for function in functions
        if not function.name.startswith("__")
        and not VERBS.fullmatch(function.name.strip("_").split("_")[0])
        and not any(REGISTERS.match(ast.unparse(decorator)) for decorator in function.decorator_list)
        and not f"{path}: {function.name}".startswith(tuple(CONTRACTS))
    ]


def tracked(*kinds: str) -> list[str]:
    """Return our own files of these kinds, such as `*.md`."""
    listed = subprocess.run(["git", "ls-files", *kinds], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in listed.splitlines() if "/uplot" not in path]


PROSE = ("*.md", "*.py", "*.sh", "*.yml", "*.html", "*.js", "*.toml", "*.sql", ".ci/run", "Makefile", "*Dockerfile")
FILES = tracked(*PROSE, ".github/CODEOWNERS")
TEXTS = [path for path in FILES if not path.startswith("tests/") or path == "tests/README.md"]
OWN_EXAMPLES = "tests/test_prose.py"
TESTS = [path for path in FILES if path.startswith("tests/") and path.endswith(".py") and path != OWN_EXAMPLES]


@pytest.mark.parametrize("path", TEXTS)
def test_nothing_reads_like_a_translation(path: str) -> None:
    assert translated(sentences(path)) == []


@pytest.mark.parametrize("path", TESTS)
def test_no_remark_in_a_test_reads_like_a_translation(path: str) -> None:
    assert translated(remarks(path)) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.endswith(".py")])
def test_a_name_says_what_it_is(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert names(text) <= next((left for room, left in NAMES_LEFT.items() if path.startswith(room)), set())


@pytest.mark.parametrize("line", ["def read(found): ...", "said = 1", "[one for one in lines]", "def of(x): ..."])
def test_a_name_that_does_not_say_what_it_is_is_seen(line: str) -> None:
    assert len(names(line)) == 1


@pytest.mark.parametrize("path", [path for path in TEXTS if path.startswith(ROOMS) and path.endswith(".py")])
def test_a_functions_name_begins_with_a_verb(path: str) -> None:
    assert not_verbs(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["sha_of", "_row", "page", "escaped"])
def test_a_function_that_begins_with_no_verb_is_seen(name: str) -> None:
    lines = [f"def {name}(): ...", "class Reader:", f"    async def {name}(self): ...", "    def read(self): ..."]
    planted = [*lines, "    @property", f"    def {name}s(self): ..."]
    planted += ['@run.field("page")', f"def {name}_field(run, info): ...", "@run.cache", f"def {name}_of_run(run): ..."]
    assert not_verbs("steps/read.py", "\n".join(planted)) == [
        f"steps/read.py: {name}",
        f"steps/read.py: {name}_of_run",
        f"steps/read.py: {name}",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "Is the verdict `pass`, the job waits.",
        "Where none of the three is to be had",
        "A folder on a network file system is none for SQLite",
        "a model that is no file of ours",
        "its reason stands above",
        "it lies in `X`",
        "for want of a terminal",
        "one behaviour a change and a script each",
        "that nobody asked for",
        "the alias was taken away",
        "the previous version goes on answering",
        "whoever holds the key",
        "what a run says of itself",
        "it is known to everybody",
        "a version in the place of another",
        "four times in five",
        "each value is held to its type",
    ],
)
def test_a_construction_is_seen(line: str) -> None:
    assert translated([(1, line)])
