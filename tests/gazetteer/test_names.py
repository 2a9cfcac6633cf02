from __future__ import annotations

import pytest

from pixsearch.gazetteer.names import name_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Zürich", "zurich"),
        ("Aix-en-Provence", "aix en provence"),
        ("Xi’an", "xian"),
        ("St. John's", "st johns"),
        ("Washington, D.C.", "washington dc"),
        (" New   York\u00a0", "new york"),
        ("Łódź", "lodz"),
        ("Tromsø", "tromso"),
        ("Diyarbakır", "diyarbakir"),
        ("İzmir", "izmir"),
        ("Kópavogur Æther", "kopavogur aether"),
        ("ＴＯＫＹＯ", "tokyo"),
        ("京都", "京都"),
    ],
)
def test_a_name_is_one_however_people_type_it(name: str, key: str) -> None:
    assert name_key(name) == key


def test_many_names_at_once_give_the_keys_of_each() -> None:
    names = ["Zürich\tZurigo", "St. Gallen", "Xi’an\t西安"]

    assert name_key("\n".join(names)).split("\n") == ["\t".join(map(name_key, one.split("\t"))) for one in names]
