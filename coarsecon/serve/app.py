"""Routes of the search server: page, searches, images by number, marks and the map of the run."""

import secrets
from collections.abc import Iterable
from typing import Any

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coarsecon.run.folder import RunFolder
from coarsecon.runtime.journals import utc_now
from coarsecon.serve.answers import number_in, read_body
from coarsecon.serve.finder import Finder, Query, Within, number_below
from coarsecon.serve.marks import Mark, Marks
from coarsecon.serve.page import MAX_UPLOAD_BYTES, Page, asset, latest_map
from coarsecon.serve.service import PageService, guarded_app

UPLOAD_SECONDS = 30
MAX_UPLOADS = 8
"""Uploaded images held in memory at a time; further uploads wait."""
MAX_NEIGHBORS = 100
"""Neighbors in one answer, at most."""
MAX_NAME_LENGTH = 200


class Service(PageService):
    """Request handlers of the search page."""

    def __init__(self, finder: Finder, marks: Marks, page: Page, run: RunFolder, workers: int) -> None:
        super().__init__(run, finder.pixels, len(finder.items), workers)
        self.finder, self.marks, self.page = finder, marks, page
        self._uploads = CapacityLimiter(MAX_UPLOADS)

    async def show(self, _: Request) -> Response:
        """Serve the page."""
        return Response(self.page.html(latest_map(self.run)), media_type="text/html")

    async def style(self, _: Request) -> Response:
        """Serve its style."""
        return Response(self.page.style, media_type="text/css")

    async def script(self, _: Request) -> Response:
        """Serve its script."""
        return Response(self.page.script, media_type="text/javascript")

    async def common(self, _: Request) -> Response:
        """Serve the script that the pages share."""
        return Response(asset("common.js"), media_type="text/javascript")

    async def search(self, request: Request) -> Response:
        """Search with a known query (`query=ID`), or with the image in the body, which is then known."""
        k, within = number_in(request, "k", range(1, MAX_NEIGHBORS + 1)), self._within(request)
        if "query" in request.query_params:
            query = self._query(request)
        else:
            name = "".join(filter(str.isprintable, request.query_params.get("name", "")))[:MAX_NAME_LENGTH]
            async with self._uploads:
                data = await read_body(request, "the image", max_bytes=MAX_UPLOAD_BYTES, seconds=UPLOAD_SECONDS)
                query = await self.compute(lambda: self.finder.uploaded(data, name or "image"))
        return JSONResponse(await self.compute(lambda: self._found(query, k, within)))

    async def mark(self, request: Request) -> Response:
        """Mark a neighbor of a query as wrong (POST), or remove the mark (DELETE)."""
        query, number = self._query(request), number_in(request, "neighbor", range(len(self.finder.items)))
        return JSONResponse({"marks": await self.compute(lambda: self._mark(query, number, request.method == "POST"))})

    async def table(self, _: Request) -> Response:
        """Serve the table of marks."""
        if not self.marks.file.exists():
            raise HTTPException(404, "there are no marks yet")
        headers = {"content-disposition": f'attachment; filename="{self.marks.file.name}"'}
        return Response(self.marks.file.read_bytes(), media_type="text/csv", headers=headers)

    def _query(self, request: Request) -> Query:
        query = self.finder.query(request.query_params.get("query", ""))
        if query is None:
            raise HTTPException(404, "this query has expired; choose the image again")
        return query

    def _within(self, request: Request) -> Within | None:
        text = request.query_params.get("class", "")
        level, _, label = text.partition("/")
        if not text:
            return None
        classes = self.finder.items.class_names[level] if level in self.finder.items.labels else ()
        number = number_below(len(classes), label)
        if number is None:
            raise HTTPException(404, "there is no such class")
        return level, number

    def _found(self, query: Query, k: int, within: Within | None) -> dict[str, Any]:
        marked = self.marks.of(query.id, self.finder.split, self.finder.items.names)
        return {
            "query": {"id": query.id, "name": query.name, "number": query.number, "labels": self._labels(query)},
            "among": len(self.finder.items) if within is None else len(self.finder.members(within)),
            "neighbors": [
                {
                    "number": number, "name": self.finder.items.names[number], "labels": self.finder.labels(number),
                    "cosine": cosine, "wrong": number in marked,
                }
                for number, cosine in self.finder.neighbors(query, k, within)
            ],
            "marks": len(self.marks),
        }  # fmt: skip

    def _labels(self, query: Query) -> dict[str, str]:
        return {} if query.number is None else self.finder.labels(query.number)

    def _mark(self, query: Query, number: int, is_wrong: bool) -> int:
        """Add or remove a mark; returns the number of marks."""
        if is_wrong:
            own, labels = self._labels(query), self.finder.labels(number)
            self.marks.add(
                Mark(
                    utc_now(), query.name, query.id, own.get("coarse", ""), own.get("fine", ""), self.finder.split,
                    number, self.finder.items.names[number], labels.get("coarse", ""), labels.get("fine", ""),
                    self.finder.cosine(query, number),
                )
            )  # fmt: skip
        else:
            self.marks.remove(query.id, self.finder.split, number)
        return len(self.marks)


def create_app(
    finder: Finder, marks: Marks, run: RunFolder, *, names: Iterable[str] = (), workers: int = 2
) -> Starlette:
    """Create the ASGI app; `names` are further host names, and `workers` requests compute at a time."""
    token = secrets.token_urlsafe(32)
    service = Service(finder, marks, Page(finder, marks, run, token), run, workers)
    routes = [
        Route("/", service.show),
        Route("/page.css", service.style),
        Route("/page.js", service.script),
        Route("/common.js", service.common),
        Route("/search", service.search, methods=["POST"]),
        Route("/marks", service.mark, methods=["POST", "DELETE"]),
        Route(f"/{marks.file.name}", service.table),
    ]
    return guarded_app(service, routes, names=names, token=token)
