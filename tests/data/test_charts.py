"""Charts pixel by pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusionjax.data import charts


def test_two_candles_by_hand() -> None:
    # Rises from 1 to 3 (range 0..4) on volume 10; falls from 3 to 2 (range 2..3) on volume 5.
    bars = np.array([[[1, 4, 0, 3, 10], [3, 3, 2, 2, 5]]], np.float32)
    image = charts.draw(bars, np.ones((1, 2), bool), height=6)[0]
    u, d, v = charts.UP, charts.DOWN, charts.VOLUME
    expected = np.array(
        [
            [0, u, 0, 0, 0, 0],  # 4
            [u, u, u, d, d, d],  # 3
            [u, u, u, d, d, d],  # 2
            [u, u, u, 0, 0, 0],  # 1
            [0, u, 0, 0, 0, 0],  # 0
            [0, v, 0, 0, 0, 0],  # volume: 5 is half of one pixel, rounded to even
        ],
        np.uint8,
    )
    np.testing.assert_array_equal(image, expected)


def test_sessions_that_do_not_exist_are_black_and_do_not_set_the_scale() -> None:
    bars = np.array([[[900, 900, 900, 900, 9e9], [1, 2, 1, 2, 1]]], np.float32)
    image = charts.draw(bars, np.array([[False, True]]), height=10)[0]
    assert not image[:, :3].any()
    alone = charts.draw(bars[:, 1:], np.array([[True]]), height=10)[0]
    np.testing.assert_array_equal(image[:, 3:], alone)


@given(st.integers(0, 10_000), st.floats(0.01, 1000))
def test_scale_of_prices_does_not_matter(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(10, 20, (2, 8, 4)), axis=-1)
    bars = np.stack([x[..., 1], x[..., 3], x[..., 0], x[..., 2], x[..., 0]], -1)
    valid = np.ones((2, 8), bool)
    a = charts.draw(bars.astype(np.float32), valid, 40)
    b = charts.draw((bars * np.array([scale] * 4 + [1])).astype(np.float32), valid, 40)
    # A price that falls on the border of two pixels may round to either.
    assert (a != b).mean() < 0.01
