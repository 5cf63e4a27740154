"""The one exception that means "the user can mend this"."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake of the user's or of their machine: one line naming the field, the value and the mend. Exit code 2."""
