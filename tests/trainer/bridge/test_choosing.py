"""What val chooses: the best, where it is better by more than noise."""

from __future__ import annotations

import pytest

from pixsearch_trainer.bridge.choosing import best_value


@pytest.mark.parametrize(
    ("reached", "chosen"),
    [
        ({0.5: 25.0, 1.0: 28.0, 2.0: 29.0}, 2.0),
        ({0.5: 28.4, 1.0: 28.0, 2.0: 27.0}, 1.0),
        ({0.5: 28.0, 1.0: 28.0, 2.0: 28.0}, 1.0),
    ],
    ids=["by a point", "by less than two seeds differ", "not at all"],
)
def test_another_value_is_taken_where_it_is_better_by_more_than_noise(
    reached: dict[float, float], chosen: float
) -> None:
    assert best_value(reached, start=1.0) == chosen
