"""A sweep's study in optuna-dashboard: behind a token, each trial with its newest sheet."""

import json
from typing import Any

import pytest
from report_records import sample_grid
from sweep_studies import finish, make

from gansweep.integrations.optuna_dashboard import Application, dashboard, guarded
from gansweep.records.record import RunRecord

TOKEN = "a-token"
HOST = "127.0.0.1:8080"


class Answer:
    """What the application answers."""

    def __init__(self, application: Application, path: str, **given: str) -> None:
        environ = {"REQUEST_METHOD": "GET", "HTTP_HOST": HOST, "PATH_INFO": path, **given}
        environ |= {"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8080", "wsgi.url_scheme": "http"}
        self.status, self.headers = "", {}
        self.body = b"".join(application(environ, self._start))

    def _start(self, status: str, headers: list[tuple[str, str]], *rest: Any) -> None:
        self.status, self.headers = status, dict(headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Application:
    directory = tmp_path_factory.mktemp("sweep")
    study = make(directory)
    for value in (3.0, 2.0):
        run = study.run_names(finish(study, value=value))[0]
        for kimg in (1, 2):
            samples = RunRecord(study.run_dir(run)).samples
            samples.mkdir(parents=True, exist_ok=True)
            sample_grid(samples / f"{kimg * 1000:09d}.webp", kimg, 0.1)
    return dashboard(directory, TOKEN, 8080)


@pytest.fixture(scope="module")
def cookie(served: Application) -> str:
    answer = Answer(served, f"/{TOKEN}/")
    assert answer.status == "303 See Other"
    assert answer.headers["Location"] == "/dashboard/"
    assert "HttpOnly; SameSite=Strict" in answer.headers["Set-Cookie"]
    return answer.headers["Set-Cookie"].split(";")[0]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"HTTP_COOKIE": "gansweep-8080=another"},
        {"HTTP_COOKIE": "gansweep-8080"},
        {"HTTP_HOST": "evil.example", "HTTP_COOKIE": f"gansweep-8080={TOKEN}"},
        {"REQUEST_METHOD": "POST", "HTTP_COOKIE": f"gansweep-8080={TOKEN}"},
        {"REQUEST_METHOD": "DELETE", "HTTP_COOKIE": f"gansweep-8080={TOKEN}"},
    ],
)
def test_others_are_refused_and_nothing_can_be_changed(given: dict[str, str]) -> None:
    def inner(environ: Any, start: Any) -> list[bytes]:
        raise AssertionError("it must not be asked")

    assert Answer(guarded(inner, TOKEN, 8080), "/api/studies/0", **given).status == "403 Forbidden"


def test_a_wrong_token_is_refused(served: Application) -> None:
    assert Answer(served, "/b-token/").status == "403 Forbidden"


def test_the_newest_sheet_of_each_trial_is_its_artifact(served: Application, cookie: str) -> None:
    studies = json.loads(Answer(served, "/api/studies", HTTP_COOKIE=cookie).body)
    number = studies["study_summaries"][0]["study_id"]
    found = json.loads(Answer(served, f"/api/studies/{number}", HTTP_COOKIE=cookie).body)
    ended = [trial for trial in found["trials"] if trial["state"] == "Complete"]
    assert [trial["values"] for trial in ended] == [[3.0], [2.0]]
    for trial in ended:
        (sheet,) = trial["artifacts"]
        assert sheet["filename"] == "000002000.webp"
        path = f"/artifacts/{number}/{trial['trial_id']}/{sheet['artifact_id']}"
        answer = Answer(served, path, HTTP_COOKIE=cookie)
        assert answer.status.startswith("200")
        assert answer.headers["Content-Type"] == "image/webp"
        assert answer.body.startswith(b"RIFF")
