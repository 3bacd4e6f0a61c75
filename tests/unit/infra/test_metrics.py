"""The catalogue of metrics: named and explained alike, served on loopback only."""

import httpx
import psutil

from infra.metrics import EVENTS_PUBLISHED, REGISTRY, exposition, serve_metrics


def test_every_metric_is_ours_and_explained() -> None:
    families = list(REGISTRY.collect())
    assert len(families) > 20
    assert [one.name for one in families if not one.name.startswith("millstream_")] == []
    assert [one.name for one in families if not one.documentation.endswith(".")] == []


def test_metrics_are_served_on_loopback_only() -> None:
    EVENTS_PUBLISHED.labels("millstream.test").inc(3)
    port = serve_metrics(0)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert 'millstream_events_published_total{type="millstream.test"} 3.0' in answer.text
    assert answer.text.encode() == exposition()
    listening = [
        one.laddr.ip
        for one in psutil.Process().net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    ]
    assert listening == ["127.0.0.1"]
