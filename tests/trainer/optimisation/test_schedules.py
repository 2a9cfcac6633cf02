"""Learning rates over a run, by hand."""

from __future__ import annotations

import pytest

from pixsearch_trainer.optimisation.schedules import cosine, step_down


def test_cosine_rises_in_a_line_and_falls_as_half_a_cosine() -> None:
    factor = cosine(steps=10, warm_up=2)

    # After two steps of rising, eight of falling: cos 0, 45, 90, 135 degrees at every second one.
    assert [factor(step) for step in (0, 1, 2, 4, 6, 8)] == pytest.approx(
        [0.5, 1, 1, 0.853553, 0.5, 0.146447], abs=1e-6
    )
    assert factor(9) > 0


def test_without_warm_up_the_first_step_is_a_whole_one() -> None:
    assert cosine(steps=4, warm_up=0)(0) == step_down([2], warm_up=0)(0) == 1


def test_steps_fall_to_a_tenth_at_each_drop() -> None:
    factor = step_down([25, 35], warm_up=2)

    found = [factor(step) for step in (0, 1, 24, 25, 34, 35, 39)]
    assert found == pytest.approx([0.5, 1, 1, 0.1, 0.1, 0.01, 0.01])
