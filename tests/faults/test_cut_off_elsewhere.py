"""Test that a library in PostgreSQL and Milvus is repaired by the next run, whichever process dies, and whenever."""

from __future__ import annotations

import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Pixsearch, Start
from tests.photos import make_photo
from tests.postgres import PostgresServer

TIMES = 20
PACE_S = 0.012

HERE: tuple[str, ...] = ()
ON_RAY = ("--on", "ray")

Fault = Callable[[subprocess.Popen[str], PostgresServer], None]


def kill(process: subprocess.Popen[str], postgres: PostgresServer) -> None:
    process.send_signal(signal.SIGKILL)


def restart_postgres(process: subprocess.Popen[str], postgres: PostgresServer) -> None:
    postgres.stop("immediate")
    postgres.start()


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "on"), [(kill, HERE), (restart_postgres, HERE), (kill, ON_RAY)])
def test_verify_finds_nothing_wrong_after_the_next_run(
    photos: Path,
    start: Start,
    pixsearch: Pixsearch,
    environment: dict[str, str],
    postgres: PostgresServer,
    milvus_of_commands: str,
    fault: Fault,
    on: tuple[str, ...],
) -> None:
    chance = random.Random(0)
    environment["PIXSEARCH_LIBRARY"] = postgres.new_database()
    for number in range(120):
        make_photo(photos / f"{number}.png", (number + 1, 1, 9))
    url = f"{milvus_of_commands}photos_{uuid.uuid4().hex}"
    assert pixsearch("index", photos, "--vectors", url).returncode == 0
    cut_off = 0
    for number in range(TIMES):
        files = sorted(photos.iterdir())
        for file in chance.sample(files, 60):
            make_photo(file, (chance.randint(1, 255), number + 1, chance.randint(1, 255)))
        for file in chance.sample(files, 10):
            file.unlink()
        for new in range(10):
            make_photo(photos / f"new {number} {new}.png", (chance.randint(1, 255), number + 1, new + 1))
        with start("index", *on, COLOURS_PACE_S=str(PACE_S)) as process:
            time.sleep(chance.uniform(0.5, 12.0 if on else 3.5))  # a Ray cluster takes seconds to start
            fault(process, postgres)
            _, errors = process.communicate(timeout=60)
        cut_off += process.returncode != 0
        assert "Traceback" not in errors

        again = pixsearch("index")
        verified = pixsearch("verify")

        assert (again.returncode, again.stderr) == (0, "")
        assert (verified.returncode, verified.stderr) == (0, ""), verified.stdout
    print(f"{cut_off} of {TIMES} runs were cut off")
    assert cut_off >= TIMES / 4
