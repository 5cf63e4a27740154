"""Which job goes to which machine, and in what order? A mixed-integer programme over sets of jobs.

A job runs on one machine, whole and without a pause, so a machine works through its jobs one after the other: sharing
it would end none of them sooner. For each machine the best order of every set of jobs comes from dynamic programming
over subsets (Held and Karp 1962); the programme then picks one set a machine so that each job is done once and the
money suffices. Time is continuous, so that dates are exact. Beyond ten jobs, ten at a time are planned, by deadline and
weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

Array = np.ndarray
AT_ONCE = 10
SECONDS = 4.0  # for all programmes of a schedule; then each stops with the best it has
TOLERANCE = 1e-6  # days


@dataclass(frozen=True)
class Problem:
    """Jobs r and machines m. `days` (r, m) is infinite where a job cannot run; `online` (m,) days from the start.

    `dollars` (r, m) is what the job costs there, `money` all that may be spent; `deadline` (r,) is infinite without
    one; `weight` (r,) is what a day sooner is worth.
    """

    days: Array
    online: Array
    deadline: Array
    weight: Array
    dollars: Array
    money: float

    def with_online(self, machine: int, day: float) -> Problem:
        """The same with one machine available at `day`."""
        online = self.online.copy()
        online[machine] = day
        return replace(self, online=online)

    def without(self, machines: Array) -> Problem:
        """The same where nothing may run on `machines` (m,), a mask."""
        return replace(self, days=np.where(machines, np.inf, self.days))


@dataclass(frozen=True)
class Schedule:
    """For each job (r,) its machine, start and finish in days, and days late. `proven`: no schedule is better."""

    machine: Array
    start: Array
    finish: Array
    late: Array
    dollars: float
    proven: bool

    @property
    def feasible(self) -> bool:
        """Every deadline is met."""
        return bool((self.late <= TOLERANCE).all())


def solve(problem: Problem, cheapest: bool = False) -> Schedule | None:
    """The schedule of least weighted finish days that meets all deadlines (`cheapest`: of least dollars).

    If none does: the schedule with the fewest days late in all. None if a job can run nowhere within the money.
    """
    urgent = sorted(range(len(problem.weight)), key=lambda r: (problem.deadline[r], -problem.weight[r]))
    n = len(urgent)
    machine, start, finish = np.zeros(n, int), np.zeros(n), np.zeros(n)
    online, money, proven = problem.online.copy(), problem.money, n <= AT_ONCE
    seconds = SECONDS / math.ceil(n / AT_ONCE)
    for first in range(0, n, AT_ONCE):
        jobs = np.array(urgent[first : first + AT_ONCE])
        part = Problem(
            problem.days[jobs], online, problem.deadline[jobs], problem.weight[jobs], problem.dollars[jobs], money
        )
        found, optimal = _choose(part, True, cheapest, seconds)
        if found is None:
            found, sure = _choose(part, False, cheapest, seconds)
            optimal = optimal and sure
        if found is None:
            return None
        proven = proven and optimal
        for m, order in found:
            for r in order:
                job = jobs[r]
                machine[job], start[job] = m, online[m]
                online[m] += part.days[r, m]
                finish[job] = online[m]
                money -= part.dollars[r, m]
    late = np.maximum(finish - problem.deadline, 0.0)
    return Schedule(machine, start, finish, late, float(problem.dollars[np.arange(n), machine].sum()), proven)


def _choose(
    part: Problem, hard: bool, cheapest: bool, seconds: float
) -> tuple[list[tuple[int, list[int]]] | None, bool]:
    """For each machine in use its jobs in order; and whether this is proven best."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    jobs, machines = part.days.shape
    sets = np.arange(1 << jobs)
    members = (sets[:, None] >> np.arange(jobs)) & 1 == 1
    orders = [_orders(part, m, members, hard) for m in range(machines)]
    costs, lasts = np.array([cost for cost, _ in orders]), [last for _, last in orders]
    useful = np.isfinite(costs) & (sets > 0)
    held, at_hand = _greedy(part, costs)
    if not (cheapest and hard):
        # A set is of no use if, with every other job at its least, it already costs more than a plan at hand.
        alone = costs[:, 1 << np.arange(jobs)].min(0)
        rest = np.where(members, 0.0, np.where(np.isfinite(alone), alone, 0.0)).sum(1)
        useful &= costs + rest <= at_hand * (1 + 1e-9) + 1e-9
    m, s = np.nonzero(useful)
    if not len(m):
        return None, True
    goal = costs[m, s]
    spent = np.where(members[s], part.dollars.T[m], 0.0).sum(1)
    if cheapest and hard:
        goal = spent / max(spent.max(), 1.0) + 1e-6 * goal / max(goal.max(), 1e-9)
    else:  # of two plans with the same dates the cheaper
        goal = goal / max(goal.max(), 1e-9) + 1e-7 * spent / max(spent.max(), 1.0)
    columns = np.arange(len(m))
    covers = csr_array(members[s].T.astype(float))
    once = csr_array((np.ones(len(m)), (m, columns)), shape=(machines, len(m)))
    rules = [LinearConstraint(covers, 1, 1), LinearConstraint(once, -np.inf, 1)]
    if np.isfinite(part.money) and spent.any():
        scale = max(part.money, spent.max())
        rules.append(LinearConstraint(csr_array(spent[None] / scale), -np.inf, part.money / scale * (1 + 1e-9)))
    result = milp(goal, integrality=np.ones(len(m)), bounds=Bounds(0, 1), constraints=rules,
                  options={"time_limit": seconds, "mip_rel_gap": 1e-7})  # fmt: skip
    if result.x is not None:
        chosen = columns[result.x > 0.5]
        return [(int(m[c]), _walk(lasts[m[c]], int(s[c]))) for c in chosen], result.status == 0
    if result.status == 2 or not np.isfinite(at_hand):
        return None, result.status == 2
    return [(k, _walk(lasts[k], int(jobs))) for k, jobs in enumerate(held) if jobs], False


def _greedy(part: Problem, costs: Array) -> tuple[Array, float]:
    """Each machine's set in a plan that gives job after job to the machine where it adds least, and the plan's cost.

    The cost is infinite if a job finds no place.
    """
    held, left = np.zeros(len(costs), int), part.money
    machines = np.arange(len(costs))
    for r in np.argsort(part.deadline, kind="stable"):
        more = held | (1 << int(r))
        added = np.where(part.dollars[r] <= left, costs[machines, more] - costs[machines, held], np.inf)
        best = int(added.argmin())
        if not np.isfinite(added[best]):
            return held, math.inf
        held[best] = more[best]
        left -= part.dollars[r, best]
    return held, float(costs[machines, held].sum())


def _orders(part: Problem, machine: int, members: Array, hard: bool) -> tuple[Array, Array]:
    """For each set of jobs (2^r,) the cost of its best order on `machine`, infinite if there is none, and its last job.

    Under hard deadlines the cost is the weighted sum of finish days, else days late, with the former to break ties.
    """
    jobs = members.shape[1]
    days = part.days[:, machine]
    possible = np.isfinite(days)
    allowed = ~members[:, ~possible].any(1)
    finish = part.online[machine] + members[:, possible] @ days[possible]
    cost, last = np.full(len(members), np.inf), np.full(len(members), -1)
    cost[0] = 0.0
    size = members.sum(1)
    tie = 1e-6 / max(float(part.weight.max()), 1e-9)
    for level in range(1, jobs + 1):
        sets = np.flatnonzero((size == level) & allowed)
        for r in np.flatnonzero(possible):
            here = sets[members[sets, r]]
            late = np.maximum(finish[here] - part.deadline[r], 0.0)
            ending = part.weight[r] * finish[here]
            step = np.where(late > TOLERANCE, np.inf, ending) if hard else late + tie * ending
            through = cost[here ^ (1 << int(r))] + step
            better = through < cost[here]
            cost[here[better]], last[here[better]] = through[better], r
    return cost, last


def _walk(last: Array, jobs: int) -> list[int]:
    """The jobs of a set, first to last."""
    order: list[int] = []
    while jobs:
        order.insert(0, int(last[jobs]))
        jobs ^= 1 << order[0]
    return order
