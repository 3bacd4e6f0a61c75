"""Pages: server-rendered, fed by the GraphQL schema executed in-process, with small scripts on top.

``routes(context)`` are the pages, ``install(env)`` gives the templates their filters, ``outcome_page`` is how
refusals and faults look. Static files lie in ``STATIC``, templates in ``TEMPLATES``; the app serves and loads them.
"""

from starlette.routing import BaseRoute

from api.web import (
    account_page,
    control_pages,
    create_page,
    dead_letter_pages,
    event_pages,
    graph_pages,
    graphiql_page,
    insight_pages,
    live_pages,
    monitor_edit_pages,
    monitor_pages,
    operations_page,
    projection_pages,
    repository_pages,
    upload_pages,
    user_pages,
)
from api.web.asking import PageContext
from api.web.outcomes import STATIC, TEMPLATES, outcome_page
from api.web.templating import install

__all__ = ["STATIC", "TEMPLATES", "install", "outcome_page", "routes"]


def routes(context: PageContext) -> list[BaseRoute]:
    """All pages. The more exact addresses come first."""
    install(context.templates.env)
    return [
        *create_page.routes(context),
        *live_pages.routes(context),
        *insight_pages.routes(context),
        *control_pages.routes(context),
        *repository_pages.routes(context),
        *operations_page.routes(context),
        *projection_pages.routes(context),
        *dead_letter_pages.routes(context),
        *event_pages.routes(context),
        *graphiql_page.routes(context),
        *graph_pages.routes(context),
        *upload_pages.routes(context),
        *user_pages.routes(context),
        *account_page.routes(context),
        *monitor_edit_pages.routes(context),
        *monitor_pages.routes(context),
    ]
