"""Show what clients have requested, and what this server does not support, for people whose client does not work."""

from starlette.responses import Response

from modelgate_server.api.metrics import Metrics
from modelgate_server.web.access import Visit


def show(metrics: Metrics, visit: Visit) -> Response:
    """GET /_internal/status"""
    counts = metrics.list_counts()
    return visit.show(
        "status.html",
        since=metrics.since,
        refused=[count for count in counts if count.refused],
        answered=[count for count in counts if not count.refused],
    )
