"""What does the head of a source file say: under which licence it stands, and whether a program wrote it?"""

from __future__ import annotations

import re

HEAD = 4000
_SPDX = re.compile(r"spdx-license-identifier:[ \t]*([a-z0-9.+ ()-]{1,100})", re.IGNORECASE)
_DECORATION = re.compile(r"[\s#*/;\"'<>!%|-]+")
_HINTS = ("licen", "copyright", "redistribution", "permission")

# Asked in this order; every phrase must be there, in lower case and with comment marks taken out.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("Apache-2.0", ("apache license 2.0",)),
    ("Apache-2.0", ("apache 2.0 license",)),
    ("AGPL-3.0-or-later", ("gnu affero general public license", "any later version")),
    ("AGPL-3.0-only", ("gnu affero general public license",)),
    ("LGPL-2.1-or-later", ("gnu lesser general public license", "version 2.1", "any later version")),
    ("LGPL-2.1-only", ("gnu lesser general public license", "version 2.1")),
    ("LGPL-3.0-or-later", ("gnu lesser general public license", "version 3", "any later version")),
    ("LGPL-3.0-only", ("gnu lesser general public license", "version 3")),
    ("LGPL-2.0-or-later", ("gnu lesser general public license",)),  # none named is any
    ("LGPL-2.0-or-later", ("gnu library general public license",)),
    ("GPL-2.0-or-later", ("gnu general public license", "version 2", "any later version")),
    ("GPL-3.0-or-later", ("gnu general public license", "version 3", "any later version")),
    ("GPL-2.0-only", ("gnu general public license", "version 2")),
    ("GPL-3.0-only", ("gnu general public license", "version 3")),
    ("GPL-1.0-or-later", ("gnu general public license",)),
    ("MPL-2.0", ("mozilla public license", "2.0")),
    ("EPL-2.0", ("eclipse public license", "2.0")),
    ("BSL-1.0", ("boost software license",)),
    ("PSF-2.0", ("psf license agreement",)),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "not be used to endorse")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("BSD-3-Clause", ("bsd 3 clause",)),
    ("BSD-3-Clause", ("new bsd license",)),
    ("BSD-2-Clause", ("simplified bsd license",)),
    ("LicenseRef-BSD", ("bsd license",)),
    ("LicenseRef-BSD", ("bsd style license",)),
    ("MIT", ("permission is hereby granted, free of charge",)),
    ("MIT", ("mit license",)),
    ("ISC", ("permission to use, copy, modify, and", "distribute this software for any purpose")),
    ("Unlicense", ("this is free and unencumbered software",)),
    ("CC0-1.0", ("cc0 1.0",)),
    ("LicenseRef-Public-Domain", ("public domain",)),
    ("LicenseRef-all-rights-reserved", ("all rights reserved",)),
)

_COMMENT = ("#", "//", "/*", "*", "--", ";", "<!--", "%", '"""', "'''")
_GENERATED = re.compile(
    r"^\W*(?:auto(?:matically )?-?generated|generated automatically|machine[- ]generated"
    r"|(?:file |code |source )?generated (?:by|from|with|content)\b)"
    r"|\bthis (?:\w+ )?(?:file|code|module|source) (?:is|was|has been) (?:auto-?|automatically )?generated"
    r"|@generated\b|\bdo(?: not|n't) (?:edit|modify)(?: by hand| manually| directly| this|[.!]?\W*$)",
    re.IGNORECASE,
)


def licence(text: str) -> str:
    """The SPDX expression that its header gives or amounts to, or "" where it names no licence."""
    head = text[:HEAD]
    if found := _SPDX.search(head):
        return found.group(1).strip(" -")
    lowered = head.lower()
    if not any(hint in lowered for hint in _HINTS):
        return ""
    plain = _DECORATION.sub(" ", lowered)
    return next((name for name, phrases in _PHRASES if all(phrase in plain for phrase in phrases)), "")


def generated(text: str) -> str:
    """The line of its head that says a program wrote it, or "".

    The head: five lines, and what other comments the first forty hold (a licence often comes first).
    """
    for number, line in enumerate(text[:HEAD].split("\n")[:40]):
        bare = line.strip()
        if (number < 5 or bare.startswith(_COMMENT)) and _GENERATED.search(bare):
            return bare[:120]
    return ""
