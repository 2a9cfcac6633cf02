"""The API, compared with its own OpenAPI document."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.cli.web.conftest import Serve

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_the_document_has_an_example_of_a_search_and_of_its_answer(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    get, post = document["paths"]["/api/search"]["get"], document["paths"]["/api/search"]["post"]

    assert {"q", "like", "after", "k"} <= {parameter["name"] for parameter in get["parameters"]}
    assert set(post["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert document["components"]["schemas"]["SearchAnswer"]["example"]["hits"][0]["rank"] == 1


@pytest.mark.slow
def test_two_thousand_calls_find_no_answer_that_the_document_does_not_have(serve: Serve, tmp_path: Path) -> None:
    command = f"{SCHEMATHESIS} run {serve()}/api/openapi.json --checks {CHECKS} --max-examples 120 --seed 1 --no-color"

    finished = subprocess.run(command.split(), capture_output=True, text=True, check=False, cwd=tmp_path)

    assert finished.returncode == 0, finished.stdout
    generated = re.search(r"(\d[\d,]*) generated", finished.stdout)
    assert generated is not None
    assert int(generated[1].replace(",", "")) >= 2000
