"""`orion doctor`: what is wrong with this machine, and how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state` is ok, note (works, less well) or problem (something will fail)."""

    name: str
    state: str
    found: str
    mend: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Say what is wrong with this machine, and the mend.

    Looks at Python, cores, memory, disk, torch and the optional packages. Exit code 2 if something will fail.

    \b
    Examples:
      orion doctor
      orion doctor --json
    """
    from orionlm.cli.output import print_json

    findings = [_python(), _cores(), _memory(), _disk(), _writable(), *_torch(), _compiler(), *_extras()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mend = f": {finding.mend}" if finding.mend else ""
            print(f"{finding.state:<8} {finding.name:<12} {finding.found}{mend}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(2)


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _cores() -> Finding:
    from orionlm.recipe.context import cores, processor

    count = cores()
    found = f"{count} × {processor()}"
    return Finding("cores", "ok", found) if count > 1 else Finding("cores", "note", found, "recipes are timed on two")


def _memory() -> Finding:
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(fields[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        total = free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB"
    return (
        Finding("memory", "ok", found) if free > 2e9 else Finding("memory", "note", found, "the quickstart needs 2 GB")
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / 1e9:.1f} GB free here"
    return Finding("disk", "ok", found) if free > 1e9 else Finding("disk", "problem", found, "free at least 1 GB")


def _writable() -> Finding:
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()):
            return Finding("directory", "ok", f"{Path.cwd()} can be written")
    except OSError as error:
        return Finding(
            "directory", "problem", f"{Path.cwd()}: {error.strerror}", "go where you may write, or use --dir"
        )


def _torch() -> list[Finding]:
    if find_spec("torch") is None:
        return [Finding("torch", "problem", "not installed", "pip install 'orion-lm[train]'")]
    import torch

    findings = [Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        findings.append(Finding("device", "ok", torch.cuda.get_device_name()))
        return findings
    flags = _processor_flags()
    fast = [name for name in ("avx512_bf16", "amx_bf16", "bf16") if name in flags]
    findings.append(
        Finding("bf16", "ok", f"in hardware ({', '.join(fast)})")
        if fast
        else Finding("bf16", "note", "not in this processor's hardware", "fp32 will be chosen where it is faster")
    )
    return findings


def _processor_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), []))


def _compiler() -> Finding:
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    if found:
        return Finding("compiler", "ok", found)
    return Finding("compiler", "note", "no C++ compiler", "install g++ where torch.compile is wanted")


def _extras() -> list[Finding]:
    from orionlm.cli.extras import extras

    findings = []
    for extra, packages in extras().items():
        missing = [package for package in packages if not _installed(package)]
        if missing:
            findings.append(Finding(extra, "note", f"lacks {', '.join(missing)}", f"pip install 'orion-lm[{extra}]'"))
        else:
            findings.append(Finding(extra, "ok", "installed"))
    return findings


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
