"""Routes of the review page: clusters, suggestions, similar images, changes, and the table of labels."""

import secrets
import shlex
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coarsecon.pictures.images import thumbnail
from coarsecon.pictures.rows import Pixels
from coarsecon.report import page as report
from coarsecon.review.session import Session, StaleError
from coarsecon.review.views import show_cluster, show_overview, show_similar, show_suggestions
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.documents import parse_json
from coarsecon.serve.answers import ERROR_HANDLERS, read_body
from coarsecon.serve.finder import number_below
from coarsecon.serve.guard import TOKEN_HEADER, Guard
from coarsecon.serve.page import MAP_POLICY, asset, latest_map

MAX_CHANGE_BYTES = 16 * 2**20
CHANGE_SECONDS = 30
IMAGE_SIZE = 320
"""Longer side, in pixels, of the images sent."""

SCRIPTS = ("common.js", "review.js", "review_grid.js", "review_next.js")

T = TypeVar("T")


class ReviewService:
    """Request handlers; `pixels(i)` is image i of the review, uint8 [H, W, 3]."""

    def __init__(
        self, session: Session, pixels: Callable[[int], Pixels], run: RunFolder, name: str, token: str, workers: int
    ) -> None:
        self.session, self.pixels, self.run, self.name, self._token = session, pixels, run, name, token
        self._images = len(session.state.images)
        self._start = secrets.token_hex(4)  # in the addresses of images, which browsers keep
        self._work = CapacityLimiter(workers)

    async def show(self, _: Request) -> Response:
        """Serve the page."""
        state = self.session.state
        text = report.environment(__package__).get_template("review.html").render(
            run=self.run.root,
            count=self._images,
            split=state.proposal.split,
            name=self.name,
            has_map=latest_map(self.run) is not None,
            map_command=shlex.join(["coarsecon", "tsne", str(self.run.root)]),
            data={"token": [TOKEN_HEADER, self._token], "version": self._start},
        )  # fmt: skip
        return Response(text.encode(errors="replace"), media_type="text/html")

    async def style(self, _: Request) -> Response:
        """Serve its style."""
        text = "".join(map(report.asset, ("page.css", "gallery.css"))) + asset("review.css")
        return Response(text, media_type="text/css")

    async def script(self, request: Request) -> Response:
        """Serve one of its scripts."""
        name = f"{request.path_params['name']}.js"
        if name not in SCRIPTS:
            raise HTTPException(404, "there is no such script")
        return Response(asset(name), media_type="text/javascript")

    async def overview(self, _: Request) -> Response:
        """Serve the queue, the progress and the version."""
        return JSONResponse(await self._compute(lambda: show_overview(self.session)))

    async def cluster(self, request: Request) -> Response:
        """Serve a cluster."""
        number = number_below(2**31, request.path_params["number"])
        found = None if number is None else await self._compute(lambda: show_cluster(self.session, number))
        if found is None:
            raise HTTPException(404, "this cluster has no images any more")
        return JSONResponse(found)

    async def suggestions(self, _: Request) -> Response:
        """Serve the next images to label."""
        return JSONResponse(await self._compute(lambda: show_suggestions(self.session)))

    async def similar(self, request: Request) -> Response:
        """Serve the images nearest to an image."""
        number = self._image(request)
        return JSONResponse(await self._compute(lambda: show_similar(self.session, number)))

    async def change(self, request: Request) -> Response:
        """Make a change, once it is on disk; the answer is the new overview."""
        body = await read_body(request, "the change", max_bytes=MAX_CHANGE_BYTES, seconds=CHANGE_SECONDS)
        value = parse_json(body, "change", remedy="reload the page")
        if not isinstance(value, dict):
            raise HTTPException(400, "a change is a JSON object")
        try:
            return JSONResponse(await self._compute(lambda: self._changed(value)))
        except StaleError as error:
            raise HTTPException(409, error.problem) from None

    async def image(self, request: Request) -> Response:
        """Serve image NUMBER of the review."""
        number = self._image(request)
        kind, data = await self._compute(lambda: thumbnail(self.pixels(number), IMAGE_SIZE))
        return Response(data, media_type=f"image/{kind}", headers={"cache-control": "private, max-age=86400"})

    async def table(self, _: Request) -> Response:
        """Serve the table of labels."""
        text = await self._compute(self.session.table)
        headers = {"content-disposition": f'attachment; filename="{self.name}.csv"'}
        return Response(text.encode("utf-8-sig"), media_type="text/csv", headers=headers)

    async def map(self, _: Request) -> Response:
        """Serve the newest map in the run in a sandbox, so that nothing in that file can act as this page."""
        file = latest_map(self.run)
        if file is None:
            raise HTTPException(404, "this run has no map yet; `coarsecon tsne RUN` makes one")
        return Response(file.read_bytes(), media_type="text/html", headers={"content-security-policy": MAP_POLICY})

    async def _compute(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._work)

    def _changed(self, value: dict[str, Any]) -> dict[str, Any]:
        self.session.change(value)
        return show_overview(self.session)

    def _image(self, request: Request) -> int:
        number = number_below(self._images, request.path_params["number"])
        if number is None:
            raise HTTPException(404, "there is no image of this number")
        return number


def create_review_app(
    session: Session,
    pixels: Callable[[int], Pixels],
    run: RunFolder,
    *,
    name: str,
    hosts: Iterable[str] = (),
    workers: int = 2,
) -> Starlette:
    """Create the ASGI app of the review called `name`.

    Args:
        hosts: Host names under which the page may be opened, in addition to localhost, the name of this machine, and
            addresses.
        workers: Number of requests computed at a time.
    """
    token = secrets.token_urlsafe(32)
    service = ReviewService(session, pixels, run, name, token, workers)
    own = {"localhost", socket.gethostname().lower(), *(host.lower() for host in hosts)}
    return Starlette(
        routes=[
            Route("/", service.show),
            Route("/page.css", service.style),
            Route("/{name}.js", service.script),
            Route("/overview", service.overview),
            Route("/clusters/{number}", service.cluster),
            Route("/suggestions", service.suggestions),
            Route("/similar/{number}", service.similar),
            Route("/changes", service.change, methods=["POST"]),
            Route("/images/{number}", service.image),
            Route("/labels.csv", service.table),
            Route("/map", service.map),
        ],
        middleware=[Middleware(Guard, names=own, token=token)],
        exception_handlers=ERROR_HANDLERS,
    )
