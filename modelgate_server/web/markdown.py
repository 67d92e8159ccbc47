"""
Render uploaded Markdown as HTML. The parser escapes HTML in it, and refuses links to `javascript:` and similar, so no
sanitizer is needed. Pictures are files of the same version. An external picture becomes a link, because loading it
would tell its host who reads the page.
"""

from collections.abc import Callable, Sequence
from functools import cache
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from modelgate_server.settings import KIB

SUFFIXES = (".md", ".markdown")
# A report has some kilobytes; some megabytes of brackets would take seconds.
MAX_CHARS = 128 * KIB
# Lists in lists in quotes: no one can read deeper nesting.
MAX_NESTING = 20


def render(text: str, picture_url: Callable[[str], str]) -> str:
    """Return HTML, escaped by the parser. `picture_url` converts a path in the version to an address."""
    html = str(_build_parser().render(text, {"picture_url": picture_url}))
    return html.replace("<th></th>", "<td></td>")  # an empty cell is not a heading


@cache
def _build_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _render_image)
    parser.add_render_rule("link_open", _render_link)
    for name in ("heading_open", "heading_close"):
        parser.add_render_rule(name, _render_heading)
    return parser


def _render_image(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    source, caption = str(tokens[at].attrGet("src") or ""), escape(tokens[at].content or "picture")
    parts = urlsplit(source)
    if parts.scheme or parts.netloc or source.startswith("/"):
        return f'<a href="{escape(source)}" rel="noreferrer noopener nofollow">{caption}</a>'
    return f'<img src="{escape(env["picture_url"](parts.path))}" alt="{caption}">'


def _render_link(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noreferrer noopener nofollow")
    return self.renderToken(tokens, at, options, env)


def _render_heading(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """Lower the level of the heading: the page has its own title, and the card a heading."""
    token = tokens[at]
    token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
    return self.renderToken(tokens, at, options, env)
