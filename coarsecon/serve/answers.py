"""Parts of answers that the served pages share: bodies read within limits, numbers, and errors as JSON."""

from anyio import fail_after
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from coarsecon.errors import CoarseconError, InputError
from coarsecon.serve.finder import number_below


async def read_body(request: Request, what: str, *, max_bytes: int, seconds: float) -> bytes:
    """Read the body of a request up to the limits of size and time; `what` is the subject of errors."""
    too_much = HTTPException(413, f"{what} exceeds {max_bytes // 2**20} MiB")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise too_much
    data = bytearray()
    try:
        with fail_after(seconds):
            async for piece in request.stream():
                data += piece
                if len(data) > max_bytes:
                    raise too_much
    except TimeoutError:
        raise HTTPException(408, f"{what} did not arrive within {seconds:g} seconds") from None
    return bytes(data)


def number_in(request: Request, name: str, allowed: range) -> int:
    """Return the number in a parameter of a request."""
    number = number_below(allowed.stop, request.query_params.get(name, ""))
    if number is None or number < allowed.start:
        raise HTTPException(400, f"{name} must be a number from {allowed.start} to {allowed.stop - 1}")
    return number


async def refused(_: Request, error: Exception) -> Response:
    """Answer a rejected request."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def failed(_: Request, error: Exception) -> Response:
    """Answer a request that cannot be carried out."""
    return JSONResponse({"error": str(error)}, 422 if isinstance(error, InputError) else 500)


async def gone(_: Request, error: Exception) -> Response:
    """Answer a client that has disconnected."""
    return Response(status_code=400)


ERROR_HANDLERS = {HTTPException: refused, CoarseconError: failed, ClientDisconnect: gone}
