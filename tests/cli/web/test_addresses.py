from __future__ import annotations

import re
from pathlib import Path

import pytest

from pixsearch_cli.web import addresses

FIB_TRIE = Path("/proc/net/fib_trie")


@pytest.mark.skipif(not FIB_TRIE.exists(), reason="only Linux lists its addresses in a file")
@pytest.mark.parametrize("way", [addresses._TOWARDS_THE_INTERNET, ("255.255.255.255", 9)])
def test_this_machine_s_addresses_are_found_also_where_no_way_leads_to_the_internet(
    monkeypatch: pytest.MonkeyPatch, way: tuple[str, int]
) -> None:
    monkeypatch.setattr(addresses, "_TOWARDS_THE_INTERNET", way)
    kernels = set(re.findall(r"\|-- ([\d.]+)\n +/32 host LOCAL", FIB_TRIE.read_text()))

    found = addresses.own_addresses()

    assert set(found) == {address for address in kernels if not address.startswith("127.")}
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("host", "names"), [("192.168.0.7", ["192.168.0.7"]), ("::1", ["[::1]"]), ("photos.local", ["photos.local"])]
)
def test_a_server_at_one_address_is_found_there(host: str, names: list[str]) -> None:
    assert addresses.names_of(host) == names


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_at_every_address_is_found_by_name_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(addresses, "own_addresses", lambda: [])
    monkeypatch.setattr("socket.gethostname", lambda: "this-machine")

    assert addresses.names_of(host) == ["this-machine"]
