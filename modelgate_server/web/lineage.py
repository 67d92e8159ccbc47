"""
Draw where a version comes from and what was made from it: a graph of versions and runs, as an SVG whose nodes are
links.

The graph has everything that the version was made from, step by step, and everything that was made from it, with all
edges in between. Each node is to the right of what it depends on. https://en.wikipedia.org/wiki/Layered_graph_drawing
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from starlette.responses import Response

from modelgate_server.store import artifact_collections, lineage, memberships
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.names import LATEST
from modelgate_server.store.runs import Run
from modelgate_server.web import links, versions
from modelgate_server.web.access import Visit
from modelgate_server.web.versions import BY_THE_WAY, INPUTS

# A larger graph is not readable, and each node takes some queries.
MAX_NODES = 300
# A dataset may be used by thousands of runs.
MAX_NEIGHBOURS = 200
# The width of a character in a label, and in the smaller line below it.
CHAR_PX, NOTE_PX = 8.8, 6.6
HEIGHT, GAP, BETWEEN, MARGIN = 44, 14, 56, 12
MAX_LABEL = 44
SWEEPS = 6
ZOOMS = (25, 50, 75, 100, 150, 200)

Key = tuple[str, int]


@dataclass(frozen=True)
class Node:
    """
    A version ("artifact"), a run, or a version's place in a registry ("link"), with its position in pixels once it has
    one.
    """

    key: Key
    kind: str
    label: str
    note: str
    url: str
    chips: list[str] = field(default_factory=list)
    is_self: bool = False
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def shown(self) -> str:
        return _shorten(self.label)

    @property
    def shown_note(self) -> str:
        return _shorten(self.about)

    @property
    def text_width(self) -> float:
        return round(max(len(self.shown) * CHAR_PX, len(self.shown_note) * NOTE_PX), 1)

    @property
    def about(self) -> str:
        return " · ".join([self.note, *self.chips])


@dataclass(frozen=True)
class Edge:
    start: Node
    end: Node
    path: str


@dataclass(frozen=True)
class Graph:
    nodes: list[Node]
    edges: list[Edge]
    width: float
    height: float
    is_cut: bool


def show(visit: Visit) -> Response:
    """GET .../lineage?zoom=PERCENT"""
    version = versions.find(visit)
    zoom = next((zoom for zoom in ZOOMS if str(zoom) == visit.read_query("zoom")), None)
    graph = draw(visit, version.artifact)
    return visit.show("lineage.html", found=version, graph=graph, zoom=zoom, zooms=ZOOMS)


def draw(visit: Visit, start: Artifact) -> Graph:
    walk = _Walk(visit, start)
    nodes = {key: node for key in walk.order if (node := walk.build_node(key)) is not None}
    pairs = [(tail, head) for tail, head in dict.fromkeys(walk.edges) if tail in nodes and head in nodes]
    return _arrange(nodes, pairs, walk.is_cut)


class _Walk:
    """Searches breadth first: backward to what a version depends on, and forward to what depends on it."""

    def __init__(self, visit: Visit, start: Artifact) -> None:
        self._visit = visit
        self._start = ("artifact", start.id)
        self._artifacts: dict[int, Artifact] = {start.id: start}
        self._runs: dict[int, Run] = {}
        self._kinds: dict[int, str] = {}
        self.edges: list[tuple[Key, Key]] = []
        self.is_cut = False
        self.order: dict[Key, None] = {self._start: None}
        for step in (self._find_before, self._find_after):
            self._walk(step)
        self._link()

    def _walk(self, step: Callable[[Key], Iterator[Key]]) -> None:
        waiting, seen = deque([self._start]), {self._start}
        while waiting:
            self._visit.deadline.check()
            for key in step(waiting.popleft()):
                if key in seen:
                    continue
                if len(self.order) >= MAX_NODES:
                    self.is_cut = True
                    return
                seen.add(key)
                self.order[key] = None
                waiting.append(key)

    def _find_before(self, key: Key) -> Iterator[Key]:
        kind, number = key
        if kind == "artifact":
            maker = lineage.find_creator(self._visit.db, number)
            if maker is not None:
                yield self._add_run(maker)
        else:
            yield from self._find_versions(number, "input")

    def _find_after(self, key: Key) -> Iterator[Key]:
        kind, number = key
        if kind == "artifact":
            users = lineage.list_users(self._visit.db, number)
            self.is_cut = self.is_cut or len(users) > MAX_NEIGHBOURS
            for run in users[:MAX_NEIGHBOURS]:
                yield self._add_run(run)
        else:
            yield from self._find_versions(number, "output")

    def _add_run(self, run: Run) -> Key:
        self._runs[run.id] = run
        return "run", run.id

    def _find_versions(self, run_id: int, direction: str) -> Iterator[Key]:
        for version in lineage.list_by_run(self._visit.db, run_id, direction)[:MAX_NEIGHBOURS]:
            if self._find_kind(version) != BY_THE_WAY:
                self._artifacts[version.id] = version
                yield "artifact", version.id

    def _find_kind(self, version: Artifact) -> str:
        if version.sequence_id not in self._kinds:
            home = artifact_collections.get_collection(self._visit.db, version.sequence_id)
            self._kinds[version.sequence_id] = links.get_type_name(self._visit, home)
        return self._kinds[version.sequence_id]

    def _link(self) -> None:
        """Add all edges between the nodes, and the places of their versions in registries."""
        for kind, number in list(self.order):
            if kind == "run":
                self.edges += [(key, (kind, number)) for key in self._find_versions(number, "input")]
                self.edges += [((kind, number), key) for key in self._find_versions(number, "output")]
                continue
            maker = lineage.find_creator(self._visit.db, number)
            if maker is not None:
                self.edges.append((("run", maker.id), (kind, number)))
            for membership in memberships.list_by_artifact(self._visit.db, number)[1:]:
                self.order["link", membership.id] = None
                self.edges.append(((kind, number), ("link", membership.id)))

    def build_node(self, key: Key) -> Node | None:
        """Return None for what this user may not see."""
        kind, number = key
        if kind == "run":
            link = links.link_to_run(self._visit, self._runs[number])
            return Node(key, "run", link.text, link.note, link.url) if link else None
        if kind == "link":
            membership = memberships.get_membership(self._visit.db, number)
            link = links.link_to_membership(self._visit, membership)
            names = links.list_aliases(self._visit, membership)
            chips = [name for name in names if name != LATEST and not name.startswith(INPUTS)]
            kind = "production" if "production" in chips else "link"
            return Node(key, kind, link.text, "in the registry", link.url, chips) if link else None
        link = next(iter(links.link_to_artifacts(self._visit, [self._artifacts[number]])), None)
        if link is None:
            return None
        return Node(key, "version", link.text, link.note, link.url, is_self=key == self._start)


def _arrange(nodes: dict[Key, Node], pairs: list[tuple[Key, Key]], is_cut: bool) -> Graph:
    layers = _assign_layers(list(nodes), pairs)
    columns, chains = _build_columns(layers, pairs)
    _untangle(columns, chains)
    places = _assign_places(columns, nodes)
    placed = {
        key: replace(node, x=places[key]["x"], y=places[key]["y"], width=places[key]["width"])
        for key, node in nodes.items()
    }
    edges = [Edge(placed[tail], placed[head], _draw_path(chain, places)) for (tail, head), chain in chains.items()]
    width = max((node.x + node.width for node in placed.values()), default=0) + MARGIN
    height = max((node.y + HEIGHT for node in placed.values()), default=0) + MARGIN
    return Graph(list(placed.values()), edges, width, height, is_cut)


def _assign_layers(keys: list[Key], pairs: list[tuple[Key, Key]]) -> dict[Key, int]:
    """
    Place each node to the right of all nodes that it depends on. Real runs cannot form a cycle; a forged cycle is
    broken.
    """
    heads: dict[Key, list[Key]] = defaultdict(list)
    waiting_for = dict.fromkeys(keys, 0)
    for tail, head in pairs:
        heads[tail].append(head)
        waiting_for[head] += 1
    layers: dict[Key, int] = dict.fromkeys(keys, 0)
    ready = deque(key for key, count in waiting_for.items() if count == 0)
    left = dict.fromkeys(keys)
    while left:
        key = ready.popleft() if ready else next(iter(left))
        if key not in left:
            continue
        del left[key]
        for head in heads[key]:
            if head in left:
                layers[head] = max(layers[head], layers[key] + 1)
                waiting_for[head] -= 1
                if waiting_for[head] == 0:
                    ready.append(head)
    return layers


def _build_columns(
    layers: dict[Key, int], pairs: list[tuple[Key, Key]]
) -> tuple[list[list[Key]], dict[tuple[Key, Key], list[Key]]]:
    """Return the nodes of each layer, and the path of each edge, with a bend in every layer that it crosses."""
    columns: list[list[Key]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for key, layer in layers.items():
        columns[layer].append(key)
    chains: dict[tuple[Key, Key], list[Key]] = {}
    for number, (tail, head) in enumerate(pairs):
        bends = [("bend", number * 1_000 + layer) for layer in range(layers[tail] + 1, layers[head])]
        for bend, layer in zip(bends, range(layers[tail] + 1, layers[head]), strict=True):
            columns[layer].append(bend)
        chains[tail, head] = [tail, *bends, head]
    return columns, chains


def _untangle(columns: list[list[Key]], chains: dict[tuple[Key, Key], list[Key]]) -> None:
    """Order each layer by the positions of its neighbors, from left to right and back, so that few edges cross."""
    before: dict[Key, list[Key]] = defaultdict(list)
    after: dict[Key, list[Key]] = defaultdict(list)
    for chain in chains.values():
        for left, right in pairwise(chain):
            before[right].append(left)
            after[left].append(right)
    for sweep in range(SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        row = {key: place / max(len(column), 1) for column in columns for place, key in enumerate(column)}
        for column in columns if sweep % 2 == 0 else reversed(columns):
            middle = {
                key: sum(row[other] for other in neighbours[key]) / len(neighbours[key])
                if neighbours[key]
                else row[key]
                for key in column
            }
            column.sort(key=lambda key: middle[key])
            row |= {key: place / max(len(column), 1) for place, key in enumerate(column)}


def _assign_places(columns: list[list[Key]], nodes: dict[Key, Node]) -> dict[Key, dict[str, float]]:
    """Return x, y and width of each node and bend. The columns are centered on each other."""
    heights = [sum((HEIGHT if key in nodes else 0) + GAP for key in column) for column in columns]
    tallest = max(heights, default=0)
    places: dict[Key, dict[str, float]] = {}
    x: float = MARGIN
    for column, height in zip(columns, heights, strict=True):
        width = max((nodes[key].text_width for key in column if key in nodes), default=0) + 22
        y = MARGIN + (tallest - height) / 2
        for key in column:
            places[key] = {"x": round(x, 1), "y": round(y, 1), "width": width}
            y += (HEIGHT if key in nodes else 0) + GAP
        x += width + BETWEEN
    return places


def _draw_path(chain: list[Key], places: dict[Key, dict[str, float]]) -> str:
    """Return a path from the right side of the first node to the left side of the last, straight through each bend."""
    first, *others = chain
    x, y = places[first]["x"] + places[first]["width"], places[first]["y"] + HEIGHT / 2
    path = f"M{x:g},{y:g}"
    for key in others:
        place = places[key]
        is_bend = key[0] == "bend"
        next_x, next_y = place["x"], place["y"] + (0 if is_bend else HEIGHT / 2)
        middle = (x + next_x) / 2
        path += f" C{middle:g},{y:g} {middle:g},{next_y:g} {next_x:g},{next_y:g}"
        x, y = next_x, next_y
        if is_bend:
            x += place["width"]
            path += f" H{x:g}"
    return path


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
