"""Routes of the review page: clusters, suggestions, similar images, changes, and the table of labels."""

import secrets
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coarsecon.pictures.rows import Pixels
from coarsecon.report import page as report
from coarsecon.review.session import Session, StaleError
from coarsecon.review.views import show_cluster, show_overview, show_similar, show_suggestions
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.documents import parse_json
from coarsecon.serve.answers import read_body
from coarsecon.serve.finder import number_below
from coarsecon.serve.guard import TOKEN_HEADER
from coarsecon.serve.page import asset, latest_map
from coarsecon.serve.service import PageService, guarded_app

MAX_CHANGE_BYTES = 16 * 2**20
CHANGE_SECONDS = 30

SCRIPTS = ("common.js", "review.js", "review_grid.js", "review_next.js")


class ReviewService(PageService):
    """Request handlers of the review page."""

    def __init__(
        self, session: Session, pixels: Callable[[int], Pixels], run: RunFolder, name: str, token: str, workers: int
    ) -> None:
        super().__init__(run, pixels, len(session.state.images), workers)
        self.session, self.name, self._token = session, name, token
        self._start = secrets.token_hex(4)  # in the addresses of images, which browsers keep

    async def show(self, _: Request) -> Response:
        """Serve the page."""
        state = self.session.state
        text = report.environment(__package__).get_template("review.html").render(
            run=self.run.root,
            count=self.count,
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
        return JSONResponse(await self.compute(lambda: show_overview(self.session)))

    async def cluster(self, request: Request) -> Response:
        """Serve a cluster."""
        number = number_below(2**31, request.path_params["number"])
        found = None if number is None else await self.compute(lambda: show_cluster(self.session, number))
        if found is None:
            raise HTTPException(404, "this cluster has no images any more")
        return JSONResponse(found)

    async def suggestions(self, _: Request) -> Response:
        """Serve the next images to label."""
        return JSONResponse(await self.compute(lambda: show_suggestions(self.session)))

    async def similar(self, request: Request) -> Response:
        """Serve the images nearest to an image."""
        number = self.image_number(request)
        return JSONResponse(await self.compute(lambda: show_similar(self.session, number)))

    async def change(self, request: Request) -> Response:
        """Make a change, once it is on disk; the answer is the new overview."""
        body = await read_body(request, "the change", max_bytes=MAX_CHANGE_BYTES, seconds=CHANGE_SECONDS)
        value = parse_json(body, "change", remedy="reload the page")
        if not isinstance(value, dict):
            raise HTTPException(400, "a change is a JSON object")
        try:
            return JSONResponse(await self.compute(lambda: self._changed(value)))
        except StaleError as error:
            raise HTTPException(409, error.problem) from None

    async def table(self, _: Request) -> Response:
        """Serve the table of labels."""
        text = await self.compute(self.session.table)
        headers = {"content-disposition": f'attachment; filename="{self.name}.csv"'}
        return Response(text.encode("utf-8-sig"), media_type="text/csv", headers=headers)

    def _changed(self, value: dict[str, Any]) -> dict[str, Any]:
        self.session.change(value)
        return show_overview(self.session)


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

    `pixels(i)` is image i of the review, uint8 [H, W, 3]; `hosts` are further host names, and `workers` requests
    compute at a time.
    """
    token = secrets.token_urlsafe(32)
    service = ReviewService(session, pixels, run, name, token, workers)
    routes = [
        Route("/", service.show),
        Route("/page.css", service.style),
        Route("/{name}.js", service.script),
        Route("/overview", service.overview),
        Route("/clusters/{number}", service.cluster),
        Route("/suggestions", service.suggestions),
        Route("/similar/{number}", service.similar),
        Route("/changes", service.change, methods=["POST"]),
        Route("/labels.csv", service.table),
    ]
    return guarded_app(service, routes, names=hosts, token=token)
