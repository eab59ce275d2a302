"""What a figure was measured with: versions and machine, in words."""

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("memnas", "torch", "torchvision", "prefect", "mlflow", "dvc", "pyarrow", "numpy")


def versions() -> tuple[tuple[str, str], ...]:
    """Return name and version of Python and of the packages that matter for a result."""
    found = [("python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            found.append((package, "not installed"))
    return tuple(found)


def machine() -> str:
    """Return the processor, the cores that this process may use and the system, such as `Xeon, 2 cores, Linux`."""
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} core{'s' if cores > 1 else ''}, {platform.system()} {platform.machine()}"


def processor_flags() -> frozenset[str]:
    """Return what the processor can do, such as `avx2`; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
