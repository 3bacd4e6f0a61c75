"""Where people find the pages, for links in what is sent."""

from infra.settings import Settings


def external_url(settings: Settings) -> str:
    """The setting without its last slash; else the address that the API listens on."""
    if settings.external_url:
        return settings.external_url.rstrip("/")
    host = f"[{settings.bind_host}]" if ":" in settings.bind_host else settings.bind_host
    return f"http://{host}:{settings.bind_port}"
