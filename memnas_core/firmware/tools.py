"""The programs that compile C and run it, none of which memnas brings along."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from memnas_core.errors import InputError, MemnasError

HOST_COMPILER = "cc"
ARM_COMPILER = "arm-none-eabi-gcc"
ARM_SIZE = "arm-none-eabi-size"
EMULATOR = "qemu-system-arm"
DEVICE_TOOLS = (HOST_COMPILER, ARM_COMPILER, ARM_SIZE, EMULATOR)
"""What a proof by emulation takes."""


class FirmwareError(MemnasError):
    """C was not compiled, did not run, or computes something else than it should."""


def require(tools: Sequence[str], purpose: str) -> None:
    """Refuse to begin without the programs that are needed.

    Args:
        tools: Names of programs.
        purpose: What needs them, such as the command's option.

    Raises:
        InputError: Names those that are not on the path and says how to install them.
    """
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise InputError(
            f"{purpose}: expected {', '.join(tools)} on the path, found no {', '.join(missing)}; make device installs "
            "them on Debian"
        )


def run_tool(command: Sequence[str], folder: Path, seconds: float = 600) -> str:
    """Run a program in a folder and return what it printed on stdout.

    Args:
        command: Program and arguments.
        folder: Working folder.
        seconds: Time after which it is ended.

    Raises:
        FirmwareError: It ended with an error or took too long; the message has its first line of stderr that names
            an error, or else the last.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FirmwareError(f"{command[0]}: expected it to end within {seconds:.0f} s, found it running") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        said = next((line for line in lines if "error" in line or "overflow" in line), lines[-1])
        raise FirmwareError(f"{command[0]}: expected exit code 0, found {done.returncode}: {said}")
    return done.stdout
