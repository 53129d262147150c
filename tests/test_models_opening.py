"""Models are opened by name, cheaply, and `kt doctor` is told what is reachable."""

from __future__ import annotations

import subprocess
import sys

import pytest
from model_server import ModelServer
from test_models_served import Shouting, asked

from kt_lib.errors import ModelNotFound
from kt_lib.models.opening import open_model, reachable, remote_host


def test_a_served_model_is_opened_by_its_name_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer(Shouting(), name="qwen2.5:7b") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1/")
        ollama, openai = open_model("ollama:qwen2.5:7b"), open_model("openai:qwen2.5:7b")
        assert (ollama.name, openai.name) == ("ollama:qwen2.5:7b", "openai:qwen2.5:7b")
        assert [model.complete(asked("a"))[0].text for model in (ollama, openai)] == ["A", "A"]
        assert ollama.digest == "abc123"
        assert openai.digest.startswith("sha256:")
        with pytest.raises(ModelNotFound, match=r"`ollama pull llama9`; on the server: qwen2\.5:7b"):
            _ = open_model("ollama:llama9").digest


def test_a_model_without_a_tag_is_ollamas_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer(Shouting(), name="tiny:latest") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        assert open_model("ollama:tiny").digest == "abc123"


@pytest.mark.parametrize("host", ["127.0.0.1", ":11434", "0.0.0.0", "[::1]:11434", "http://localhost:80/base", ""])
def test_ollama_host_is_taken_in_every_form_ollama_takes(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert remote_host("ollama:x") is None


def test_without_an_address_openai_means_openai_and_that_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.9/v1")
    assert remote_host("openai:gpt") == "203.0.113.9"
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert open_model("openai:gpt").digest != open_model("openai:other").digest
    assert remote_host("embedded") is None


@pytest.mark.parametrize("name", ["gpt-4", "ollama:", "openai: ", "claude:x", "", "embedded@9.9.9", "/no/such/folder"])
def test_a_name_of_no_known_form_says_which_there_are(name: str) -> None:
    with pytest.raises(ModelNotFound, match=r"embedded|<model>|kt versions"):
        open_model(name)


def test_doctor_is_told_server_version_models_and_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer(Shouting(), name="qwen2.5:7b") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        there = reachable("ollama:qwen2.5:7b")
        missing = reachable("ollama:llama9")
        openai = reachable("openai:qwen2.5:7b")
    assert [finding.ok for finding in there] == [True, True]
    assert "on this machine), version 0.12.6, 1 models" in there[0].detail
    assert [finding.ok for finding in missing] == [True, False]
    assert missing[1].remedy == "pull it with `ollama pull llama9`"
    assert "qwen2.5:7b" in missing[1].detail
    assert [finding.ok for finding in openai] == [True, True]


def test_doctor_is_told_what_to_do_about_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    (finding,) = reachable("ollama:x")
    assert not finding.ok
    assert "nobody answers" in finding.detail
    assert "ollama serve" in finding.remedy


def test_doctor_contacts_another_machine_only_with_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "203.0.113.9")
    (finding,) = reachable("ollama:x")
    assert not finding.ok
    assert "203.0.113.9 is not this machine" in finding.detail
    assert "--allow-remote" in finding.remedy


def test_opening_imports_no_heavy_library() -> None:
    code = (
        "import sys; import kt_lib.models.opening;"
        "print([name for name in ('torch', 'openai', 'ollama', 'transformers', 'httpx') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
