"""``/graphiql``: the explorer of the GraphQL API, from our own files, under a policy as strict as that of every page."""

import secrets

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.http.headers import CONTENT_SECURITY_POLICY
from api.web.asking import PageContext, document
from api.web.rendering import page, render

PATH = "/graphiql"
_STYLES = "style-src 'self'"


def routes(context: PageContext) -> list[BaseRoute]:
    """The page. It asks ``/graphql`` with the session's cookie and CSRF token, as any form of ours writes."""

    async def explorer(request: Request) -> Response:
        # GraphiQL locks scrolling behind its dialogs by a style element; nothing else may be inline.
        nonce = secrets.token_urlsafe(16)
        answer = render(
            context,
            request,
            "graphiql.html",
            title="GraphiQL",
            here="graphiql",
            nonce=nonce,
            example=document("example"),
        )
        answer.headers["content-security-policy"] = policy(nonce)
        return answer

    return [Route(PATH, page(explorer), methods=["GET"])]


def policy(nonce: str) -> str:
    """The content-security policy of all pages, with style elements that carry ``nonce``."""
    return CONTENT_SECURITY_POLICY.replace(_STYLES, f"{_STYLES} 'nonce-{nonce}'")
