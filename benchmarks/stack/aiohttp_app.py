"""starlette_app.py with aiohttp, server and framework in one: `python -m benchmarks.stack.aiohttp_app PORT`."""

import hashlib
import sys

from aiohttp import web  # type: ignore[import-not-found,unused-ignore]


async def receive(request: web.Request) -> web.Response:
    digest = hashlib.md5(usedforsecurity=False)
    async for piece in request.content.iter_any():
        digest.update(piece)
    return web.Response(headers={"ETag": digest.hexdigest()})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_put("/storage/{name}", receive)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
