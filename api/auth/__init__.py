"""Who asks: the admin's token, the one-time login link, the session of a browser, and what a write must show.

What pages need:

* ``current_user(request) -> User | None`` (``api.auth.guard``): who asks; None only on public paths.
* ``csrf_token(request) -> str`` (``api.auth.guard``): put it into every form as a hidden field ``csrf_token``, and into
  a ``<meta name="csrf-token">`` for scripts, which send it as the header ``X-CSRF-Token``. The middleware checks
  it before a page sees the request.
* ``csp_nonce``: none. The policy forbids inline scripts and styles; everything comes from ``/static``.
"""
