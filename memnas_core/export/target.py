"""The processor core that a file is for, where that decides what is in it."""

from memnas_core.errors import InputError
from memnas_core.export.file_format import FORMATS, FileFormat
from memnas_core.settings.devices import devices


def for_target(wanted: FileFormat, int8: bool, target: str | None, device: str | None) -> FileFormat:
    """Return a format that writes files for a core.

    Args:
        wanted: The format.
        int8: Whether the file is to be quantised.
        target: Name of the core; None: that of the device, or else the format's usual one.
        device: Name of the device that the network was searched for (`memnas_core/settings/devices.csv`), or None.

    Raises:
        InputError: The format has no files for a certain core, or none for this one.
    """
    cores = wanted.cores(int8)
    if not cores:
        if target is None:
            return wanted
        able = " or ".join(f"--format {name} --int8" for name in FORMATS if FORMATS[name].cores(int8=True))
        raise InputError(
            f"--target {target}: expected {able}, the files that are for a certain core, found --format {wanted}"
            f"{' --int8' if int8 else ''}, which is for any; leave --target out"
        )
    if target is not None:
        core = target.lower().replace("plus", "+")
        if core not in cores:
            raise InputError(f"--target {target}: expected one of {', '.join(cores)}, found another")
        return wanted.for_core(core)
    if device is None:
        return wanted
    core = devices()[device].core
    if core not in cores:
        raise InputError(
            f"--format {wanted} --int8: expected a core that it has int8 kernels for ({', '.join(cores)}), found the "
            f"{core} of {device}, the device of the search; write --format {wanted} without --int8 or --format onnx "
            "--int8, whose readers run on other processors, or name the core of another device with --target"
        )
    return wanted.for_core(core)
