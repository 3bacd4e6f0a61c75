"""The API as one ASGI application: GraphQL, health, metrics, login, pages.

``create_app(settings) -> Starlette``. Rooms: ``api.graphql`` (what is asked), ``api.http`` (how it arrives), ``api.auth`` (who asks),
``api.web`` (pages), ``api.context.AppContext`` (what they share; its docstring is the contract for pages).

A request passes, outermost first: security headers, request metrics, Guard (Host, token or session), Bodies (cap,
gzip), WriteCheck (Origin and CSRF for writes by cookie), routes.
"""
