"""nginx with TLS in front of a server, configured with the lines in the guide."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GUIDE = Path(__file__).parents[3] / "docs" / "guide.md"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NAME = "photos.example.org"


def guides_lines() -> str:
    (lines,) = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    return str(lines)


@contextmanager
def nginx(folder: Path, lines: str, upstream: str) -> Iterator[int]:
    """Run nginx with these lines, replacing the addresses and file paths in them, and yield the port."""
    assert NGINX is not None
    folder.mkdir()
    certificate, key = make_certificate(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for ours, guides in (
        (f"127.0.0.1:{port}", "443"),
        (str(certificate), "/etc/ssl/photos.example.org.pem"),
        (str(key), "/etc/ssl/photos.example.org.key"),
        (upstream, "http://127.0.0.1:7860"),
    ):
        assert guides in lines
        lines = lines.replace(guides, ours)
    paths = "".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} worker_processes 1; pid {folder / 'pid'}; error_log {folder / 'error.log'};\n"
        f"events {{}} http {{ access_log {folder / 'access.log'}; {paths}\n{lines} }}"
    )
    command = [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    subprocess.run(command, check=True, capture_output=True)  # when it returns, nginx is listening
    try:
        yield port
    finally:
        subprocess.run([*command, "-s", "stop"], check=True, capture_output=True)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME},DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "certificate.pem")
