"""Learning rates over a stage, by hand."""

from __future__ import annotations

import pytest

from pixsearch_trainer.run.schedules import cosine, step_down


def test_cosine_rises_in_a_line_and_falls_as_half_a_cosine() -> None:
    # After two steps of rising, eight of falling: cos 0, 45, 90, 135 degrees at every second one.
    found = [cosine(warm_up=0.2)(step, 10) for step in (0, 1, 2, 4, 6, 8)]
    assert found == pytest.approx([0.5, 1, 1, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_rates_fall_to_a_tenth_at_each_drop() -> None:
    found = [step_down(0.05, [25 / 40, 35 / 40])(step, 40) for step in (0, 1, 24, 25, 34, 35, 39)]
    assert found == pytest.approx([0.5, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_without_warm_up_the_first_step_is_a_whole_one() -> None:
    assert cosine(warm_up=0)(0, 4) == step_down(0, [0.5])(0, 4) == 1
