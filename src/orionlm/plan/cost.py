"""What does a run cost: in hardware worn down, in power, or at a cloud's prices?

The method is that of Cottier et al. 2024 ("The rising costs of training frontier AI models", 2405.21015, section 2):
the value of hardware falls exponentially, because newer chips do more for a dollar (.14 orders of magnitude a year: a
factor e in 3.1 years), and a run is charged what the hardware lost while it ran. Power is the server's, not the chip's.
Their GPT-4 (25K A100, 90 to 100 days): $778M to acquire, $40.7M amortised with energy, $78.6M at cloud prices. With 95
days and hardware 1.5 years old when the run began, this file gives medians within 15% of all three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.accelerators import Accelerator
from orionlm.plan.quantity import FACTOR, MONEY, SHARE, Dimension, Quantity

Array = np.ndarray
Amount = Quantity | float

UTILISATION_POWER = Quantity(0.75, 0.5, 0.95, SHARE)
"""Mean draw of a training server over its peak (Cottier et al., appendix on energy)."""
HOST_POWER = Quantity(1.85, 1.6, 2.1, FACTOR)
"""A server's peak power over that of its chips: DGX A100 2.03, DGX H100 1.82."""
PUE = Quantity(1.15, 1.08, 1.3, FACTOR)
"""Power of the data centre over that of its servers: 1.1 at the largest, up to 1.3 elsewhere (same source)."""
ELECTRICITY = Quantity(0.083, 0.06, 0.12, MONEY)
"""Dollars per kWh: US industry's mean of 2022 and 2023 (EIA), and the spread between states."""
LIFETIME_YEARS = Quantity(3.1, 2.3, 4.5, FACTOR)
"""Years in which hardware loses 63% of its value: 1/(.14 ln 10) (Hobbhahn et al. 2023, price-performance trend)."""
SERVER_OVERHEAD = Quantity(2.05, 1.5, 2.6, FACTOR)
"""Cost of a cluster over that of its chips: servers 1.66 [1.3, 2.1], and the network 19% of all (same source)."""


@dataclass(frozen=True)
class Cost:
    """Dollars, each a median with a 90% interval; None where the accelerator has no price or no rent.

    `acquisition` buys the whole cluster, `hardware` is the part of it the run wears down, `owned` is hardware and
    power together, `cloud` is the same device hours rented.
    """

    acquisition: Quantity | None
    hardware: Quantity | None
    energy_kwh: Quantity
    power_dollars: Quantity
    owned: Quantity | None
    cloud: Quantity | None
    device_hours: float
    megawatts: Quantity


def cost(
    accelerator: Accelerator,
    devices: float,
    days: float,
    *,
    utilisation_power: Amount = UTILISATION_POWER,
    pue: Amount = PUE,
    electricity_dollars_per_kwh: Amount = ELECTRICITY,
    lifetime_years: Amount = LIFETIME_YEARS,
    server_overhead: Amount = SERVER_OVERHEAD,
    host_power: Amount = HOST_POWER,
    age_years: float = 0.0,
    rent: Amount | None = None,
    seed: int = 0,
) -> Cost:
    """The cost of `devices` devices for `days` days, on hardware that is `age_years` old at the start.

    `rent` (dollars per device hour) stands in for the table's. An impossible value raises UserError.
    """
    rng = np.random.default_rng(seed)
    for name, value in (("devices", devices), ("days", days)):
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"{name} = {value}: give a finite number above 0")
    if not 0 <= age_years < 50:
        raise UserError(f"age_years = {age_years}: give years between 0 and 50")

    def draws(name: str, amount: Amount, least: float = 0.0, most: float = math.inf) -> Array:
        quantity = amount if isinstance(amount, Quantity) else Quantity.exact(float(amount))
        if not (math.isfinite(quantity.low + quantity.high) and quantity.low >= least and quantity.high <= most):
            bound = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
            raise UserError(f"{name} = {quantity.median:g}: give a number of {bound}")
        return quantity.sample(4000, rng)

    watts = draws("utilisation_power", utilisation_power, 0, 1) * draws("host_power", host_power, 1)
    watts = watts * draws("pue", pue, 1) * accelerator.power * devices
    energy = watts / 1e3 * 24 * days
    power = energy * draws("electricity_dollars_per_kwh", electricity_dollars_per_kwh)
    life = np.maximum(draws("lifetime_years", lifetime_years, 0.05), 0.05)
    overhead = draws("server_overhead", server_overhead, 1)
    acquisition = hardware = None
    if accelerator.price:
        acquisition = accelerator.price.sample(4000, rng) * overhead * devices
        hardware = acquisition * np.exp(-age_years / life) * -np.expm1(-days / 365.25 / life)
    hourly = accelerator.rent if rent is None else rent
    cloud = None if hourly is None else draws("rent", hourly) * devices * 24 * days
    return Cost(
        acquisition=None if acquisition is None else summary(acquisition, MONEY),
        hardware=None if hardware is None else summary(hardware, MONEY),
        energy_kwh=summary(energy, FACTOR),
        power_dollars=summary(power, MONEY),
        owned=None if hardware is None else summary(hardware + power, MONEY),
        cloud=None if cloud is None else summary(cloud, MONEY),
        device_hours=devices * 24 * days,
        megawatts=summary(watts / 1e6, FACTOR),
    )


def summary(draws: Array, dimension: Dimension) -> Quantity:
    """Draws (n,) as their median and central 90%."""
    low, median, high = (float(v) for v in np.quantile(draws, (0.05, 0.5, 0.95)))
    return Quantity(median, low, high, dimension)
