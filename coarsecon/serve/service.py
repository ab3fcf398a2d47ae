"""Base of the served pages: images by number, the map of the run, and an app guarded by a token."""

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coarsecon.pictures.images import thumbnail
from coarsecon.pictures.rows import Pixels
from coarsecon.run.folder import RunFolder
from coarsecon.serve.answers import ERROR_HANDLERS
from coarsecon.serve.finder import number_below
from coarsecon.serve.guard import Guard
from coarsecon.serve.page import MAP_POLICY, latest_map

IMAGE_SIZE = 320
"""Longer side, in pixels, of the images sent."""

T = TypeVar("T")


class PageService:
    """Request handlers that the pages share.

    Args:
        run: The run folder.
        pixels: Image i, uint8 [H, W, 3].
        count: Number of images.
        workers: Number of requests computed at a time.
    """

    def __init__(self, run: RunFolder, pixels: Callable[[int], Pixels], count: int, workers: int) -> None:
        self.run, self.pixels, self.count = run, pixels, count
        self._work = CapacityLimiter(workers)

    async def image(self, request: Request) -> Response:
        """Serve image NUMBER."""
        number = self.image_number(request)
        kind, data = await self.compute(lambda: thumbnail(self.pixels(number), IMAGE_SIZE))
        return Response(data, media_type=f"image/{kind}", headers={"cache-control": "private, max-age=86400"})

    async def map(self, _: Request) -> Response:
        """Serve the newest map in the run in a sandbox, so that nothing in that file can act as this page."""
        file = latest_map(self.run)
        if file is None:
            raise HTTPException(404, "this run has no map yet; `coarsecon tsne RUN` makes one")
        return Response(file.read_bytes(), media_type="text/html", headers={"content-security-policy": MAP_POLICY})

    async def compute(self, work: Callable[[], T]) -> T:
        """Return the result of a function that runs in a thread."""
        return await to_thread.run_sync(work, limiter=self._work)

    def image_number(self, request: Request) -> int:
        """Return the number of the image in the path of a request."""
        number = number_below(self.count, request.path_params["number"])
        if number is None:
            raise HTTPException(404, "there is no image of this number")
        return number


def guarded_app(service: PageService, routes: Sequence[Route], *, names: Iterable[str], token: str) -> Starlette:
    """Create the ASGI app of a page, which also serves the images and the map.

    Args:
        names: Host names under which the page may be opened, in addition to localhost, the name of this machine, and
            addresses.
        token: Secret of the page that requests must carry.
    """
    own = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}
    return Starlette(
        routes=[*routes, Route("/images/{number}", service.image), Route("/map", service.map)],
        middleware=[Middleware(Guard, names=own, token=token)],
        exception_handlers=ERROR_HANDLERS,
    )
