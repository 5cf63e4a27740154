from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from inference.server import tiny


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tiny.make_checkpoint(tmp_path_factory.mktemp("cli-serve") / "tiny")


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    cache = str(tmp_path_factory.mktemp("cli-serve-cache"))
    return dict(os.environ) | {"XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}


def orion(environment, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [*tiny.ORION, *arguments], input=stdin, capture_output=True, text=True, timeout=60, env=environment
    )


def refused(call: subprocess.CompletedProcess) -> str:
    assert call.returncode == 2 and not call.stdout, call
    assert call.stderr.startswith("error: ") and call.stderr.count("\n") == 1, call.stderr
    return call.stderr


@pytest.mark.parametrize("command", ["serve", "chat"])
def test_help_shows_examples_and_json_without_loading_torch(environment, command):
    shown = orion(environment, command, "--help").stdout
    assert f"Examples:\n    orion {command}" in shown and "--json" in shown
    assert "User: " in shown, "the plain format of models without a template is told"


def test_what_cannot_be_served_is_one_line(environment, checkpoint, tmp_path):
    assert "no such folder" in refused(orion(environment, "serve", str(tmp_path / "none")))
    (tmp_path / "bare").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bare" / name).write_bytes((checkpoint / name).read_bytes())
    assert "no tokenizer.json" in refused(orion(environment, "serve", str(tmp_path / "bare")))
    assert "NO_SUCH" in refused(orion(environment, "serve", str(checkpoint), "--api-key-env", "NO_SUCH"))
    assert "cpu or cuda" in refused(orion(environment, "serve", str(checkpoint), "--device", "tpu"))
    assert "--drain" in refused(orion(environment, "serve", str(checkpoint), "--drain", "nan"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port = {port}" in refused(orion(environment, "serve", str(checkpoint), "--port", str(port)))


def test_a_server_says_where_it_is_and_a_stop_while_it_loads_leaves_nothing(environment, checkpoint):
    serving = subprocess.Popen(
        [*tiny.ORION, "serve", str(checkpoint), "--port", "0", "--name", "mine"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    line = serving.stdout.readline()
    assert line.startswith("serving mine at http://127.0.0.1:") and "plain chat format" in line
    serving.send_signal(signal.SIGINT)
    assert serving.wait(10) == 0
    serving.communicate()

    loading = subprocess.Popen(
        [*tiny.ORION, "serve", str(checkpoint), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    children = Path(f"/proc/{loading.pid}/task/{loading.pid}/children")
    until = time.monotonic() + 10
    while not children.read_text().split() and time.monotonic() < until:
        time.sleep(0.01)
    (engine,) = children.read_text().split()
    loading.send_signal(signal.SIGTERM)
    assert loading.wait(10) == 1
    out, err = loading.communicate()
    assert out == "" and err == "stopped before it was up\n"
    assert not Path(f"/proc/{engine}").exists()


def test_a_chat_with_a_checkpoint_takes_a_message_a_line(environment, checkpoint):
    talk = "hello\n\n/reset\n人 🙂\n/exit\nnever read\n"
    done = orion(environment, "chat", str(checkpoint), "--max-tokens", "6", "--json", stdin=talk)
    assert done.returncode == 0, done.stderr
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reply["message"] for reply in replies] == ["hello", "人 🙂"]
    for reply in replies:
        assert reply["finish_reason"] in ("length", "stop") and reply["usage"]["completion_tokens"] <= 6
    assert done.stderr == ""


def test_a_chat_with_a_server_remembers_and_is_interrupted_without_ending(environment, checkpoint, tmp_path):
    command = tiny.scripted_command(checkpoint, key="sk-1", name="tiny")
    with tiny.served(checkpoint, cache=tmp_path, command=command) as server:
        assert "401" in refused(orion(environment, "chat", server.url))
        keyed = environment | {"THEIRS": "sk-1"}
        asked = ["chat", server.url, "--api-key-env", "THEIRS", "--system", "S", "--temperature", "0"]
        assert "tiny" in refused(orion(keyed, *asked, "--model-name", "other"))
        done = orion(keyed, *asked, "--max-tokens", "4", "--json", stdin="a\na\n/reset\na\n")
        first, second, third = (json.loads(line) for line in done.stdout.splitlines())
        assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"] == third["usage"]["prompt_tokens"]
        assert third["reply"] == first["reply"]
        shown = orion(keyed, *asked, "--max-tokens", "4", stdin="a\n").stdout
        assert shown == first["reply"] + "\n"
        assert "context" in refused(orion(keyed, *asked, "--json", stdin="word " * 5000))

        talking = subprocess.Popen(
            [*tiny.ORION, *asked, "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=keyed
        )
        talking.stdin.write("go on\n")
        talking.stdin.flush()
        until = time.monotonic() + 20
        while not server.metrics()["orion_running"] and time.monotonic() < until:
            time.sleep(0.01)
        talking.send_signal(signal.SIGINT)
        interrupted = json.loads(talking.stdout.readline())
        assert interrupted["message"] == "go on" and interrupted["finish_reason"] in ("interrupted", "stop")
        out, _ = talking.communicate("/exit\n", timeout=10)
        assert out == "" and talking.returncode == 0


def test_a_chat_with_what_is_no_model_server_is_one_line(environment):
    class Odd(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(b'{"data": []}' if "none" in self.path else b'{"data": [{"id": "m"}]}')

        def do_POST(self) -> None:
            self.answer(b"data: nonsense\n\n")

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert "does not list any" in refused(orion(environment, "chat", f"{url}/none/v1", stdin="a\n"))
        assert "no stream of a chat" in refused(orion(environment, "chat", url, stdin="a\n"))
        server.shutdown()
