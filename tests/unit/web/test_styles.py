"""The style sheet and the templates agree: a word that colours a state lays out nothing else."""

import re

from starlette.testclient import TestClient

from api.web import STATIC


def test_no_word_of_a_state_is_the_name_of_a_block() -> None:
    sheet = (STATIC / "app.css").read_text(encoding="utf-8")
    states = set(re.findall(r"\.state\.([a-z]+)", sheet))
    assert {"empty", "ready", "failed"} <= states
    blocks = set(re.findall(r"^\.([a-z-]+)(?= \{|,$)", sheet, re.MULTILINE))
    assert states & blocks == set(), "such a rule would tear every row that has the state"


def test_the_summary_of_an_event_is_a_list_with_one_sentence_a_line(client: TestClient) -> None:
    page = client.get("/events/e-1").text
    summary = page[page.index('id="words"') : page.index('id="chain"')]
    assert "<p>" not in summary
    assert "<li>It was accepted, as version 1 of its aggregate.</li>" in summary
