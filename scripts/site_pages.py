"""Writes what the site is built from: the pages of docs/ and what they need from elsewhere (`make docs`).

- Pages of the repository that lie outside docs/ become pages of the site, README its first one.
- Help of the commands and keys of the settings come from the code, at marks in commands.md and settings-keys.md.
- A link to a file that is no page, such as a module, becomes the name of that file, as the repository has no public
  address to link to. A link to nothing is left as it is, and ends the strict build.

Run: python scripts/site_pages.py site/pages
"""

import posixpath
import re
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path

import click
import yaml
from griffe import Docstring, DocstringSectionAttributes

from flows.cli import cli
from memnas_core.settings.schema import Settings

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "README.md": "index.md",
    **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "results/README.md")},
}
"""Pages outside docs/ and their places in the site."""
BESIDE = ("docs/pictures/*", "results/*.csv", "results/figures/*.svg")
"""Files that pages show or link to."""
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^( *```.*?^ *```$)", re.DOTALL | re.MULTILINE)


def places() -> dict[str, str]:
    """Return the files of the repository that the site has, with their places in it."""
    pages = {f"docs/{path.name}": path.name for path in sorted(ROOT.glob("docs/*.md"))}
    beside = [path.relative_to(ROOT).as_posix() for pattern in BESIDE for path in sorted(ROOT.glob(pattern))]
    return {**pages, **OUTSIDE, **{name: name.removeprefix("docs/") for name in beside}}


def page(name: str, there: dict[str, str]) -> str:
    """Return a page as the site has it: its mark filled, its links turned into those of the site."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if name == "docs/commands.md":
        text = text.replace("<!-- commands -->", _commands())
    if name == "docs/settings-keys.md":
        text = text.replace("<!-- settings -->", _settings())
    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(lambda link: _link(link, name, there), part) for part in parts[::2]]
    return "".join(parts)


def _link(link: re.Match[str], origin: str, there: dict[str, str]) -> str:
    """Return a link of a page as the site has it, or the name of a file that the site has not."""
    if ":" in link["target"]:
        return link[0]
    name = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link["target"]))
    if name in there:
        relative = posixpath.relpath(there[name], posixpath.dirname(there[origin]) or ".")
        return f"{link['image']}[{link['text']}]({relative}{link['anchor'] or ''})"
    if not (ROOT / name).exists():
        return link[0]
    return f"`{name}`" if name.endswith(link["text"].strip("`/")) else f"{link['text']} (`{name}`)"


def _commands() -> str:
    """Return what `memnas COMMAND --help` prints, for each command."""
    parent = click.Context(cli, info_name="memnas", **cli.context_settings)
    parts = []
    for name, command in sorted(cli.commands.items()):
        shown = command.get_help(click.Context(command, info_name=name, parent=parent, terminal_width=100))
        parts.append(f"## memnas {name}\n\n```\n{shown}\n```\n")
    return "\n".join(parts)


def _settings() -> str:
    """Return a table of keys for each section of the settings."""
    default = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    parts = []
    for section in fields(Settings):
        kind = section.type
        if not is_dataclass(kind) or not isinstance(kind, type):
            continue
        described = Docstring(kind.__doc__ or "", lineno=1).parse("google")
        rows = {
            item.name: " ".join(item.description.split())
            for part in described
            if isinstance(part, DocstringSectionAttributes)
            for item in part.value
        }
        parts += [f"## {section.name}", "", (kind.__doc__ or "").partition("\n")[0], ""]
        parts += ["| key | what it decides | in params.yaml |", "|---|---|---|"]
        for key in (key.name for key in fields(kind)):
            value = yaml.safe_dump(default[section.name][key], default_flow_style=True, width=10_000)
            parts.append(f"| `{key}` | {rows[key]} | `{value.removesuffix('...' + chr(10)).strip()}` |")
        parts.append("")
    return "\n".join(parts)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Write the pages of the site into FOLDER, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    there = places()
    for name, place in there.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(page(name, there), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / name, target)


if __name__ == "__main__":
    main()
