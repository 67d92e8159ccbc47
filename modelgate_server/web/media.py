"""
Show what a run logged in addition to numbers: tables, pictures, HTML, histograms; for anything else, its type and its
file.
"""

from dataclasses import dataclass, field
from typing import Any

from modelgate_server.web import charts, filters
from modelgate_server.web.charts import Histogram
from modelgate_server.web.tables import SMALL_PICTURE_PX

MAX_MEDIA = 60
MAX_PICTURES = 24
# The SDK's types (wandb/sdk/data_types/*.py), and what people call them.
KINDS = {
    "table-file": "table",
    "partitioned-table": "table in parts",
    "joined-table": "joined table",
    "incremental-table-file": "growing table",
    "image-file": "picture",
    "images/separated": "pictures",
    "images": "pictures",
    "histogram": "histogram",
    "html-file": "HTML page",
    "audio-file": "audio",
    "audio": "audio",
    "video-file": "video",
    "videos": "video",
    "object3D-file": "3D object",
    "object3D": "3D object",
    "molecule-file": "molecule",
    "plotly-file": "Plotly chart",
    "bokeh-file": "Bokeh chart",
    "graph-file": "graph",
}
TABLES = ("table-file", "incremental-table-file")


@dataclass(frozen=True)
class Picture:
    path: str
    caption: str
    pixelated: bool


@dataclass(frozen=True)
class Medium:
    """The value of one key: `paths` are its files."""

    key: str
    kind: str
    paths: list[str]
    rows: int = 0
    is_table: bool = False
    is_page: bool = False
    pictures: list[Picture] = field(default_factory=list)
    histogram: Histogram | None = None


def list_media(summary: dict[str, Any], skipped: set[str]) -> list[Medium]:
    """Return the last value of each key, pictures first, without the keys in `skipped`."""
    values = filters.flatten(summary)
    media = [
        _read_medium(key, value)
        for key, value in sorted(values.items())
        if isinstance(value, dict) and isinstance(value.get("_type"), str) and key not in skipped
    ]
    order = sorted(media, key=lambda item: (not item.pictures, not item.is_table, item.key))
    return order[:MAX_MEDIA]


def _read_medium(key: str, value: dict[str, Any]) -> Medium:
    kind = value["_type"]
    name = KINDS.get(kind, kind)
    paths = _read_paths(value)
    if kind == "histogram":
        return Medium(key, name, [], histogram=_read_histogram(key, value))
    if kind in TABLES and paths:
        rows = value.get("nrows")
        return Medium(key, name, paths, rows=rows if isinstance(rows, int) else 0, is_table=True)
    if kind.startswith("image"):
        return Medium(key, name, paths, pictures=_read_pictures(value, paths))
    return Medium(key, name, paths, is_page=kind == "html-file")


def _read_paths(value: dict[str, Any]) -> list[str]:
    paths = value.get("filenames") or [value.get("path")]
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _read_pictures(value: dict[str, Any], paths: list[str]) -> list[Picture]:
    captions = value.get("captions")
    texts = captions if isinstance(captions, list) else [value.get("caption")]
    height = value.get("height")
    small = isinstance(height, int) and height <= SMALL_PICTURE_PX
    numbered = enumerate(paths[:MAX_PICTURES])
    return [Picture(path, _read_caption(texts[at] if at < len(texts) else ""), small) for at, path in numbered]


def _read_caption(text: Any) -> str:
    return text if isinstance(text, str) else ""


def _read_histogram(key: str, value: dict[str, Any]) -> Histogram | None:
    """Read a histogram: the SDK sends the counts and the edges between them."""
    counts, edges = value.get("values"), value.get("bins")
    if not isinstance(counts, list) or not isinstance(edges, list) or len(counts) > 512:
        return None
    if not all(filters.is_finite(number) for number in [*counts, *edges]) or edges != sorted(set(edges)):
        return None
    return charts.draw_histogram(key, key, edges, counts)
