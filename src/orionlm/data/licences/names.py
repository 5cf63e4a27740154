"""Which licence is meant? The many ways to write one → its SPDX identifier."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib import resources

from orionlm.data.licences.policy import is_licence, judged

SHORT = 200  # characters: what is longer is a licence's text, not its name
HEAD = 4000  # characters of such a text that say which one it is
VAGUE = "LicenseRef-BSD"  # of "BSD" alone there are several, and SPDX has no identifier for that

# Names as people and trove classifiers write them, without case, punctuation and the words in `_FILLERS`.
_NAMES = """
mitmit=MIT expat=MIT mitexpat=MIT mitnoattribution=MIT-0 mitnoattributionmit0=MIT-0 apache=Apache-2.0 apache2=Apache-2.0
apachev2=Apache-2.0 apachev2.0=Apache-2.0 asl2.0=Apache-2.0 asl2=Apache-2.0 bsd=LicenseRef-BSD bsdlike=LicenseRef-BSD
bsdstyle=LicenseRef-BSD bsd2=BSD-2-Clause 2clausebsd=BSD-2-Clause simplifiedbsd=BSD-2-Clause freebsd=BSD-2-Clause
bsd3=BSD-3-Clause 3clausebsd=BSD-3-Clause newbsd=BSD-3-Clause modifiedbsd=BSD-3-Clause revisedbsd=BSD-3-Clause
bsd0clause=0BSD zeroclausebsd=0BSD iscl=ISC isciscl=ISC mpl=MPL-2.0 mpl2=MPL-2.0 mozillapublic2.0mpl2.0=MPL-2.0
mozillapublic2.0=MPL-2.0 mozillapublic1.1mpl1.1=MPL-1.1 psf=PSF-2.0 psfl=PSF-2.0 psf2=PSF-2.0 pythonfoundation=PSF-2.0
python=PSF-2.0 gpl=GPL-1.0-or-later gnugeneralpublicgpl=GPL-1.0-or-later gplv2=GPL-2.0-only gpl2=GPL-2.0-only
gnugplv2=GPL-2.0-only gnugeneralpublicv2gplv2=GPL-2.0-only gplv2+=GPL-2.0-or-later gnugplv2+=GPL-2.0-or-later
gnugeneralpublicv2orlatergplv2+=GPL-2.0-or-later gplv3=GPL-3.0-only gpl3=GPL-3.0-only gnugplv3=GPL-3.0-only
gnugeneralpublicv3gplv3=GPL-3.0-only gplv3+=GPL-3.0-or-later gpl3+=GPL-3.0-or-later gnugplv3+=GPL-3.0-or-later
gnugeneralpublicv3orlatergplv3+=GPL-3.0-or-later lgpl=LGPL-2.0-or-later
gnulibraryorlessergeneralpubliclgpl=LGPL-2.0-or-later lgplv2.1=LGPL-2.1-only lgplv2.1+=LGPL-2.1-or-later
gnulessergeneralpublicv2orlaterlgplv2+=LGPL-2.0-or-later lgplv3=LGPL-3.0-only gnulgplv3=LGPL-3.0-only
gnulessergeneralpublicv3lgplv3=LGPL-3.0-only lgplv3+=LGPL-3.0-or-later
gnulessergeneralpublicv3orlaterlgplv3+=LGPL-3.0-or-later agplv3=AGPL-3.0-only gnuafferogeneralpublicv3=AGPL-3.0-only
agplv3+=AGPL-3.0-or-later gnuafferogeneralpublicv3orlateragplv3+=AGPL-3.0-or-later unlicenseunlicense=Unlicense
zliblibpng=Zlib boost1.0bsl1.0=BSL-1.0 boost=BSL-1.0 bsl=BSL-1.0 zopepublic=ZPL-2.1 zpl=ZPL-2.1 cc0=CC0-1.0
cc01.0universalcc01.0publicdomaindedication=CC0-1.0 ccby4=CC-BY-4.0 ccbysa4=CC-BY-SA-4.0
eclipsepublic2.0epl2.0=EPL-2.0 eclipsepublic1.0epl1.0=EPL-1.0 europeanunionpublic1.2eupl1.2=EUPL-1.2
historicalpermissionnoticeanddisclaimerhpnd=HPND universalpermissiveupl=UPL-1.0 academicfreeafl=AFL-3.0
universityofillinoisncsaopensource=NCSA artistic=Artistic-2.0 publicdomain=LicenseRef-Public-Domain
otherproprietary=LicenseRef-Proprietary proprietary=LicenseRef-Proprietary
"""
_FILLERS = re.compile(r"\b(?:the|licen[cs]ed?|software|version|under)\b|[^a-z0-9.+]")
_OPERATORS = re.compile(r"(?<![^\s()])(and|or|with)(?![^\s()])|([()])", re.IGNORECASE)


@lru_cache(maxsize=1 << 12)
def spdx(name: str) -> str | None:
    """`Apache License, Version 2.0` → `Apache-2.0`, `mit or Apache 2` → `MIT OR Apache-2.0`; None if unheard of."""
    name = name.strip()
    if not name or len(name) > SHORT:
        return None
    whole = _known().get(_key(name))
    if whole:
        return whole
    parts = [part.strip() for part in _OPERATORS.split(name) if part and part.strip()]
    expression = " ".join(
        part.upper() if _OPERATORS.fullmatch(part) else _known().get(_key(part), part) for part in parts
    )
    unheard: list[str] = []

    def heard_of(part: str) -> str:
        unheard.extend([] if is_licence(part) else [part])
        return ""

    if judged(expression, heard_of) is None or unheard:
        return None
    return expression.replace("( ", "(").replace(" )", ")")


def spdx_of_text(text: str) -> str | None:
    """By the words that only this licence begins with."""
    head = " ".join(text[:HEAD].split())
    if "Redistribution and use in source and binary forms" in head:
        return "BSD-3-Clause" if "endorse or promote" in head else "BSD-2-Clause"
    if "Permission is hereby granted, free of charge" in head:
        return "MIT"
    return "Apache-2.0" if re.search(r"Apache License,? Version 2\.0", head) else None


def _key(name: str) -> str:
    return _FILLERS.sub("", name.lower()).strip(".")


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    listed = tomllib.loads(
        resources.files("orionlm.data.licences").joinpath("licences.toml").read_text(encoding="utf-8")
    )
    names = listed["identifiers"]["licences"].split()
    return {_key(name): name for name in names} | dict(pair.split("=") for pair in _NAMES.split())
