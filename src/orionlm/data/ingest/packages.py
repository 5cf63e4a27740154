"""What does an installed package hold, is it what was installed, and under which licence?"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from orionlm.data.licences.names import VAGUE, spdx, spdx_of_text
from orionlm.data.licences.policy import UNKNOWN
from orionlm.errors import UserError

BUILT = re.compile(r"(^|/)(__config__|_distributor_init\w*)\.py$")


def installed(requirement: str) -> tuple[str, str, metadata.Distribution]:
    match = re.fullmatch(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==\s*([A-Za-z0-9.+!_-]+)\s*)?", requirement)
    if not match:
        raise UserError(f"packages: {requirement!r} is neither a name nor name==version; write e.g. sympy==1.14.0")
    name, pinned = match.groups()
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(f"packages: {name} is not installed; pip install {requirement.strip()}") from None
    version = distribution.version
    if pinned and version != pinned:
        raise UserError(
            f"packages: {name} {version} is installed where the recipe pins {pinned}; pip install {name}=={pinned}"
        )
    return re.sub(r"[-_.]+", "-", name).lower(), version, distribution


def python_files(package: str, version: str, distribution: metadata.Distribution) -> dict[str, metadata.PackagePath]:
    """By name, in order."""
    files = {str(file): file for file in distribution.files or () if file.suffix == ".py"}
    if not files:
        raise UserError(
            f"packages: {package} lists no Python files (installed editable?); "
            f"pip install --force-reinstall {package}=={version}"
        )
    return {name: files[name] for name in sorted(files) if not (name.startswith("..") or BUILT.search(name))}


def verified(file: metadata.PackagePath, package: str, version: str) -> bytes:
    try:
        content = Path(str(file.locate())).read_bytes()
    except FileNotFoundError:
        content = b""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    if file.hash and file.hash.mode == "sha256" and file.hash.value != digest:
        raise UserError(
            f"packages: {file} is not the file that was installed; pip install --force-reinstall {package}=={version}"
        )
    return content


def licence_of(package: metadata.Distribution) -> str:
    """By its metadata: the expression, else what classifiers and the field `License` say, else its licence's text.

    Several classifiers are joined by AND: they do not say whether one may choose.
    """
    fields: Any = package.metadata
    expression = fields.get("License-Expression")
    if expression:
        return spdx(expression) or expression
    field = fields.get("License") or ""
    stated = spdx(field) or spdx_of_text(field)
    classifiers = [line for line in fields.get_all("Classifier") or [] if line.startswith("License :: ")]
    classified = sorted({found for line in classifiers if (found := spdx(line.rsplit(" :: ", 1)[-1]))})
    joined = " AND ".join(classified)
    if stated and (joined in ("", VAGUE) or all(name in stated.split() for name in classified)):
        joined = stated
    if joined in ("", VAGUE):
        texts = (file.read_binary().decode(errors="replace") for file in package.files or () if _is_licence_text(file))
        joined = next(filter(None, map(spdx_of_text, texts)), joined)
    return joined or UNKNOWN


def _is_licence_text(file: metadata.PackagePath) -> bool:
    named = file.parts[0].endswith(".dist-info") and re.match("licen[cs]e|copying", file.name.lower())
    return bool(named) and Path(str(file.locate())).is_file()
