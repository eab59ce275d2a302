"""Look up every package that a lock pins in PyPI's advisories or, where PyPI does not tell, in those of osv.dev.

Exit status: 0 all packages were looked up and none has a known flaw; 1 one has; 3 some could not be looked up, so that
nothing is known about them. `--unanswered-is-fine` turns 3 into 0 for places without the internet; what could not be
looked up is said all the same. pip-audit does the asking; run this with the Python that has it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SERVICES = ("pypi", "osv")
FLAWED, UNANSWERED = 1, 3


class Pin(NamedTuple):
    """A package in a version that the lock allows."""

    name: str
    version: str


class Flaw(NamedTuple):
    """An advisory about a package, with the versions that fix the flaw."""

    pin: Pin
    advisory: str
    fixed_in: tuple[str, ...]


class Answers(NamedTuple):
    """What a service knows: flaws, and the packages that it does not know."""

    flaws: list[Flaw]
    unknown: list[Pin]


def pins(lock: Path) -> set[Pin]:
    """Return the packages that a lock pins."""
    return {
        Pin(*pin) for pin in re.findall(r"^([\w.-]+)(?:\[.*?\])?==([\w.+!-]+)", lock.read_text(encoding="utf-8"), re.M)
    }


def ask(service: str, asked: list[Pin], options: list[str]) -> Answers:
    """Ask one service about packages, each name only once."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.writelines(f"{pin.name}=={pin.version}\n" for pin in asked)
        requirements.flush()
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, *options]
        command += ["--format", "json", "--progress-spinner", "off", "--disable-pip", "--no-deps"]
        done = subprocess.run(
            [*command, "--requirement", requirements.name], capture_output=True, text=True, check=False
        )
    try:
        entries = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"{service}: no answer: {last[:200]}")
        return Answers([], asked)
    known = {entry["name"]: entry for entry in entries if "vulns" in entry}
    unknown = [pin for pin in asked if pin.name not in known]
    flaws = [
        Flaw(pin, flaw["id"], tuple(flaw["fix_versions"]))
        for pin in asked
        if pin.name in known
        for flaw in known[pin.name]["vulns"]
    ]
    return Answers(flaws, unknown)


def ask_all(service: str, asked: list[Pin], options: list[str]) -> Answers:
    """Ask about packages of which a lock may pin several versions, unless the service knows none of a package's."""
    first = ask(service, asked[:1], options)
    if first.unknown:
        return Answers([], asked)
    flaws, unknown, rest = first.flaws, [], asked[1:]
    while rest:
        once = list({pin.name: pin for pin in reversed(rest)}.values())
        rest = sorted(set(rest) - set(once))
        answers = ask(service, sorted(once), options)
        flaws, unknown = [*flaws, *answers.flaws], [*unknown, *answers.unknown]
    return Answers(flaws, unknown)


def main() -> int:
    """Ask, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unanswered-is-fine", action="store_true", help="exit 0 where nobody answers")
    parser.add_argument("--osv-url", help="another server with the interface of osv.dev; nobody else is asked then")
    parser.add_argument("lock", type=Path)
    given = parser.parse_args()
    asked = sorted(pins(given.lock))
    if not asked:
        parser.error("the lock pins nothing")
    flaws: list[Flaw] = []
    unknown = asked
    for service in ("osv",) if given.osv_url else SERVICES:
        if unknown:
            answers = ask_all(service, unknown, ["--osv-url", given.osv_url] if given.osv_url else [])
            flaws, unknown = [*flaws, *answers.flaws], answers.unknown
    for flaw in flaws:
        fixed = f"fixed in {', '.join(flaw.fixed_in)}" if flaw.fixed_in else "no version without it"
        print(f"KNOWN FLAW: {flaw.pin.name} {flaw.pin.version}: {flaw.advisory}, {fixed}")
    print(f"{len(asked) - len(unknown)} of {len(asked)} pinned packages looked up, {len(flaws)} known flaws.")
    if unknown:
        shown = ", ".join(f"{pin.name} {pin.version}" for pin in unknown[:3])
        print(f"NOT CHECKED FOR KNOWN FLAWS: {len(unknown)} packages ({shown}{', ...' if len(unknown) > 3 else ''}).")
        print("Neither PyPI's advisories nor osv.dev answered for them. Run `make audit` where the internet is.")
    if flaws:
        return FLAWED
    return UNANSWERED if unknown and not given.unanswered_is_fine else 0


if __name__ == "__main__":
    sys.exit(main())
