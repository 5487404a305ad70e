"""A study in a browser: one page, what it asks for, and nothing that could tell A from B.

    GET  /                          the page; a new browser gets a participant's cookie, ?participant=NAME chooses one
    GET  /state                     where this participant stands
    POST /votes                     {"trial", "choice"}: an answer; then where the participant stands
    POST /another                   after the last trial: hands the browser to someone new
    GET  /pictures/TRIAL/PLACE.png  left, right, input or clean

No name of a file, folder or model is ever sent; a trial has an identifier that only this participant's browser knows.
"""

import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from pellucid.errors import DataError, MissingExtraError, SettingsError
from pellucid.studies.preference.session import Standing, Study, TrialError, is_participant, new_participant

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import MutableHeaders
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as error:
    raise MissingExtraError((error.name or "starlette").split(".")[0], "web") from None

__all__ = ["addresses", "listen", "make_app", "serve"]

_PAGE = {
    "/": ("index.html", "text/html"),
    "/study.css": ("study.css", "text/css"),
    "/study.js": ("study.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LONGEST_BODY = 4096
_COOKIE_SECONDS = 180 * 24 * 3600


class _Headers:
    """Puts the same headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class _Handlers:
    """The answers to requests."""

    def __init__(self, study: Study) -> None:
        self.study = study
        # Cookies know no ports: another study on this machine must not share ours.
        self.cookie = f"pellucid-{study.secret_name('cookie')}"

    def participant(self, request: Request) -> str | None:
        """Who asks, by the cookie; None where there is no valid one."""
        name = request.cookies.get(self.cookie, "")
        return name if is_participant(name) else None

    def remember(self, response: Response, participant: str) -> None:
        """Gives the browser the participant's cookie. Lax: whoever comes by a link is still the same person."""
        response.set_cookie(self.cookie, participant, max_age=_COOKIE_SECONDS, httponly=True, samesite="lax")

    def page(self, request: Request) -> Response:
        """The page, and a cookie for who has none."""
        chosen = request.query_params.get("participant")
        if chosen is not None:
            if not is_participant(chosen):
                return PlainTextResponse("participant: 1 to 64 letters, digits, hyphens or underscores", 400)
            response: Response = RedirectResponse(request.url.path, 303)
            self.remember(response, chosen)
            return response
        response = _file("/")
        if self.participant(request) is None:
            self.remember(response, new_participant())
        return response

    def state(self, request: Request) -> Response:
        """Where the participant stands."""
        participant = self.participant(request)
        if participant is None:
            return _refusal("no participant: cookies are needed", 401)
        return self.answer(self.study.standing(participant))

    async def vote(self, request: Request) -> Response:
        """Records an answer."""
        participant = self.participant(request)
        if participant is None:
            return _refusal("no participant: cookies are needed", 401)
        body = await _json_body(request)
        if body is None:
            return _refusal("expected a trial and a choice", 400)
        try:
            standing = await run_in_threadpool(self.study.vote, participant, body["trial"], body["choice"])
        except TrialError as error:
            return _refusal(str(error), 409)
        except ValueError as error:
            return _refusal(str(error), 400)
        except DataError as error:
            logging.getLogger(__name__).error("%s", error)
            return _refusal("the vote could not be saved", 503)
        return self.answer(standing)

    def another(self, request: Request) -> Response:
        """Hands the browser to someone new, once its participant is done."""
        participant = self.participant(request)
        if participant is not None and self.study.standing(participant).trial is not None:
            return _refusal("this participant is not done", 409)
        someone = new_participant()
        response = self.answer(self.study.standing(someone))
        self.remember(response, someone)
        return response

    def picture(self, request: Request) -> Response:
        """A picture of a trial. Sent without its date, which would tell which of two files was written first."""
        participant = self.participant(request)
        trial, place = request.path_params["trial"], request.path_params["place"]
        try:
            if participant is None:
                raise TrialError("no participant")
            content = self.study.picture(participant, trial, place).read_bytes()
        except TrialError:
            return PlainTextResponse("no such picture", 404)
        return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=86400, immutable"})

    def answer(self, standing: Standing) -> Response:
        """A standing as the page reads it."""
        plan = self.study.plan
        return JSONResponse(asdict(standing) | {"question": plan.question, "ties": plan.ties})


def make_app(study: Study) -> Starlette:
    """The study as an ASGI application."""
    handlers = _Handlers(study)

    def asset(request: Request) -> Response:
        return _file(request.url.path)

    routes = [
        Route("/", handlers.page),
        *(Route(path, asset) for path in _PAGE if path != "/"),
        Route("/state", handlers.state),
        Route("/votes", handlers.vote, methods=["POST"]),
        Route("/another", handlers.another, methods=["POST"]),
        Route("/pictures/{trial}/{place}.png", handlers.picture),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Headers)])


def _file(path: str) -> Response:
    name, media_type = _PAGE[path]
    return Response((files(__package__) / "page" / name).read_bytes(), media_type=media_type)


def _refusal(reason: str, status: int) -> Response:
    return JSONResponse({"error": reason}, status)


async def _json_body(request: Request) -> dict[str, str] | None:
    """The trial and the choice in a request; None where it holds anything else."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    if isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("trial", "choice")):
        return value
    return None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        SettingsError: the port is in use or not allowed, or the host is not this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"--host {host}: not an address of this machine ({error.strerror})") from error
    try:
        if os.name == "posix":  # or a restart would have to wait; elsewhere it would let two servers in
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise SettingsError(f"--host {host} --port {port}: {error.strerror}; choose another, or --port 0") from error
    return listening


def addresses(listening: socket.socket) -> list[str]:
    """The addresses to open in a browser: that of this machine, and where others can reach it, theirs."""
    host, port = listening.getsockname()[:2]
    if host not in ("0.0.0.0", "::"):
        return [f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"]
    return [f"http://127.0.0.1:{port}/", f"http://{_outer_address()}:{port}/"]


def _outer_address() -> str:
    """This machine's address in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; only asks which way it would go
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def serve(app: Callable[[Scope, Receive, Send], Awaitable[Any]], listening: socket.socket) -> None:
    """Serves until Ctrl-C or a signal to end."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=3,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return
