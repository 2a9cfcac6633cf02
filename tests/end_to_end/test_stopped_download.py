"""Stop `pixsearch model get` with real signals in the middle of a file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from threading import Event

import pytest

from pixsearch.model.checkpoints import hub_folder
from pixsearch.model.hub_source import unfinished_folder
from tests.end_to_end.conftest import COMMAND
from tests.hub_server import HubServer, hub_server
from tests.tiny_dual_encoders import make_tiny_dual_encoder
from tests.unsuitable_files import in_time

pytestmark = pytest.mark.slow

NAME = "hub:org/tiny"
SENT_BYTES = 10_000
PATIENCE_S = 120


@pytest.mark.parametrize(
    ("stop", "exit_code", "message"),
    [
        (signal.SIGINT, 130, [f"pixsearch: {NAME} is not complete yet. Run the command again to continue"]),
        (signal.SIGKILL, -signal.SIGKILL, []),
    ],
)
def test_a_stopped_download_leaves_no_model_and_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: signal.Signals, exit_code: int, message: list[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    command: list[str | Path] = [COMMAND, "model", "get", NAME, "--yes"]
    with hub_server() as hub, in_time(3 * PATIENCE_S):
        files = hub.add("org/tiny", make_tiny_dual_encoder(tmp_path / "clip", "CLIP"))
        hub.cut_after, hub.released = [SENT_BYTES], Event()
        environment = {**os.environ, "HF_ENDPOINT": hub.address}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as getting:
            try:
                wait_for_bytes(hub, getting)
                getting.send_signal(stop)
                _, stderr = getting.communicate(timeout=PATIENCE_S)
            finally:
                getting.kill()
                hub.released.set()

        assert getting.returncode == exit_code
        assert stderr.splitlines()[4:] == message
        assert not hub_folder(NAME).exists()

        again = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    assert again.returncode == 0, again.stderr
    assert (hub_folder(NAME) / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert (hub_folder(NAME) / "pictures.xml").is_file()
    assert not unfinished_folder(NAME).parent.exists()


def wait_for_bytes(hub: HubServer, getting: subprocess.Popen[str]) -> None:
    """Wait until some of the weights have been sent."""
    while "model.safetensors" not in hub.sent_bytes:
        assert getting.poll() is None, "it ended before it was stopped"
        time.sleep(0.02)
