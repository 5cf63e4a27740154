"""May these runs be compared at all? The same validation data, a metric that compares, no holes where they matter."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from orionlm.errors import UserError
from orionlm.gain.runs import RunTable
from orionlm.settings import nearest

FAR = 4.0


def check_levers(
    table: RunTable, levers: list[str] | None, priced: Mapping | Collection[str]
) -> tuple[list[str], list[str]]:
    """The names of the levers to price, and warnings.

    Raises UserError where there is no lever or one asked for is unknown, where validation data or vocabularies are
    mixed, or where the metric has holes.
    """
    if "lever" not in table.columns:
        raise UserError(
            f"{table.source}: no column 'lever'; add one: empty for the plain recipe, a name for each lever"
        )
    known = sorted(set(table["lever"]) - {""})
    if not known:
        raise UserError(
            f"{table.source}: lever: every row is of the plain recipe; name the lever in the rows that use one"
        )
    names = list(dict.fromkeys(levers or known))
    for name in [*names, *priced]:
        if name not in known:
            raise UserError(f"lever = {name!r}: no row of {table.source} has it; {nearest(name, known)}")
    warnings = []
    if "validation" not in table.columns:
        warnings.append("no column 'validation': all losses are taken to be of the same validation data")
    _ = table.metric  # raises where losses do not compare
    plain = table["lever"] == ""
    if not plain.any():
        raise UserError(f"{table.source}: lever: no plain rows; leave lever empty in the runs of the plain recipe")
    for name in names:
        rows = table["lever"] == name
        for column in ("active_params", "tokens"):
            low, high = table[column][plain].min(), table[column][plain].max()
            given = table[column][rows]
            if given.min() < low / FAR or given.max() > high * FAR:
                worst = given[np.argmax(np.abs(np.log(given / np.sqrt(low * high))))]
                warnings.append(
                    f"{name}: {column} {worst:.3g} is more than {FAR:g} times outside the plain runs' "
                    f"{low:.3g} to {high:.3g}: its plain twin is extrapolated"
                )
        if len(set(table["run"][rows])) == 1:
            warnings.append(f"{name}: one run only: its noise is taken from the plain runs")
    return names, warnings
