"""The ASGI application of the web process: granian --interface asgi controlplane.asgi:application

All requests go to one WSGI application, run in threads. Two kinds of requests last long, so asynchronous code handles
them first: requests with ?wait= hold no thread while they wait, and followed logs have threads of their own.
"""

from urllib.parse import quote

from controlplane.api import bodies, following
from controlplane.api.following import Following, follows
from controlplane.api.long_poll import Application, LongPoll, Receive, Scope, Send, wait_of
from controlplane.api.threads import InThreads
from controlplane.wsgi import application as django

THREADS = 16
BODILESS = ("GET", "HEAD")
ASCII = "".join(map(chr, range(128)))


def in_threads(workers: int) -> Application:
    pooled = InThreads(django, workers)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await pooled(scope, receive, send)
            return
        body = b"" if scope["method"] in BODILESS else await bodies.read_whole(receive)
        if isinstance(body, int):
            for message in bodies.refusal(body):
                await send(message)
        else:
            await pooled(scope, bodies.receive_of(body), send)

    return application


plain = in_threads(THREADS)
long_poll = LongPoll(plain)
reading = Following(in_threads(following.THREADS))


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and not scope["query_string"].isascii():
        # The bridge to WSGI accepts only ASCII in a query.
        scope = {**scope, "query_string": quote(scope["query_string"], safe=ASCII).encode()}
    if wait := wait_of(scope):
        await long_poll(scope, receive, send, wait)
    elif follows(scope):
        await reading(scope, receive, send)
    else:
        await plain(scope, receive, send)
