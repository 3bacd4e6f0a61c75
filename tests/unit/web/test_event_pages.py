"""The page of an event: found or not, its tree, who has passed it, and the form that leads to it."""

import re

from starlette.testclient import TestClient

from tests.unit.web.fixture import FixtureContext


def test_an_event_is_shown_with_its_tree_and_what_is_owed(client: TestClient) -> None:
    answer = client.get("/events/e-1")
    assert answer.status_code == 200
    page = answer.text
    for text in (
        "It was accepted, as version 1",
        "LOG_TRUNCATED: it begins at 5",
        "not among the events of the last 30 days",
        "The plan of insight 9 is owed by planner.insights.",
        "planner.insights",
        "not yet",
    ):
        assert text in page
    tree = page[page.index('id="effects"') :]
    assert re.search(r"recordings/1@4.*?<ul>.*?results/1@2.*?</ul>.*?recordings/2@9", tree, re.DOTALL)
    assert 'href="/events/millstream.results%2F1%402"' in tree
    assert "&lt;/script&gt;" in page, "a payload is text"
    assert "&lt;e-1&gt;" in page


def test_a_position_is_asked_for_as_one(client: TestClient, context: FixtureContext) -> None:
    client.get("/events/millstream.results%2F3%4017")
    assert context.asked[-1] == (
        "Event",
        {"id": None, "source": None, "position": "millstream.results/3@17"},
    )
    client.get("/events/a/b@c?source=//s")
    assert context.asked[-1] == ("Event", {"id": "a/b@c", "source": "//s", "position": None})


def test_what_never_came_is_said_with_404(client: TestClient) -> None:
    answer = client.get("/events/nothing-like-that")
    assert answer.status_code == 404
    assert "No event with the id nothing-like-that was received" in answer.text
    assert 'id="projections"' not in answer.text


def test_what_names_no_event_is_refused_beside_the_form(client: TestClient) -> None:
    answer = client.get("/events/millstream.results/3@x")
    assert answer.status_code == 422
    assert "is no position" in answer.text
    answer = client.get("/events/millstream.nope/1@1")
    assert answer.status_code == 422
    assert "Millstream has no topic millstream.nope" in answer.text


def test_the_form_leads_to_the_page(client: TestClient) -> None:
    assert client.get("/events/").status_code == 200
    answer = client.get("/events/", params={"q": " millstream.results/3@17 "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/events/millstream.results%2F3%4017")
