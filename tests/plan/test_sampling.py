from __future__ import annotations

import numpy as np

from orionlm.plan.sampling import population, systematic


def test_a_bent_ridge_is_followed_and_its_integral_is_right():
    def log_banana(theta):  # a unit normal, sheared along a parabola: its integral is that of the normal
        u, v = theta[:, 0], theta[:, 1] - 0.7 * (theta[:, 0] ** 2 - 1)
        return -0.5 * (u**2 + (v / 0.2) ** 2)

    start, rng = 0.3 * np.eye(2)[None], np.random.default_rng(0)
    theta, weight, integral = population(log_banana, np.zeros((1, 2)), start, 4000, 8, rng)
    assert abs(integral - np.log(2 * np.pi * 0.2)) < 0.1
    assert abs(weight @ theta[:, 0] ** 2 - 1) < 0.15 and 1 / (weight**2).sum() > 200


def test_systematic_resampling_keeps_proportions():
    weight = np.array([0.5, 0.25, 0.25, 0.0])
    assert np.bincount(systematic(weight, 400, np.random.default_rng(0)), minlength=4).tolist() == [200, 100, 100, 0]
