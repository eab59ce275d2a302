"""README, the navigation of the site, and the pages that it is built from."""

import re
from pathlib import Path

import pytest
import yaml

from memnas_core.settings.schema import Settings
from scripts import site_pages

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACES = site_pages.places()


def pages(branch: object) -> list[str]:
    """Return the pages of a branch of the navigation, in its order."""
    if isinstance(branch, str):
        return [branch]
    entries = branch.values() if isinstance(branch, dict) else branch
    assert isinstance(entries, list | type({}.values()))
    return [page for entry in entries for page in pages(entry)]


def links(text: str) -> list[str]:
    """Return the relative links outside code, without anchors."""
    targets = re.findall(r"\]\(([^)\s#]+)", "".join(site_pages.FENCE.split(text)[::2]))
    return [target for target in targets if ":" not in target]


def test_readme_has_at_most_900_words_outside_code() -> None:
    # As `sed '/^```/,/^```/d' README.md | wc -w` counts them.
    prose = re.sub(r"^```.*?^```[^\n]*$", "", README, flags=re.DOTALL | re.MULTILINE)
    assert 0 < len(prose.split()) <= 900


def test_links_of_readme_lead_somewhere() -> None:
    assert links(README)
    assert [link for link in links(README) if not (ROOT / link).exists()] == []


def test_figures_of_readmes_table_stand_on_the_pages_that_it_names() -> None:
    (section,) = re.findall(r"^## How good is it\?\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    rows = [row.strip("|").split("|") for row in section.splitlines() if row.startswith("| ")][1:]
    assert len(rows) == 5
    for _, measured, where in rows:
        (link,) = links(where)
        figures = re.findall(r"\d[\d,.]*\d|\d", re.sub(r"\w*[A-Za-z]-?\d", "", measured))
        page = (ROOT / link).read_text(encoding="utf-8")
        assert figures
        assert [figure for figure in figures if not re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", page)] == []


def test_every_page_is_in_the_navigation_once() -> None:
    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(listed) == sorted(place for place in PLACES.values() if place.endswith(".md"))


@pytest.mark.parametrize("name", [name for name in PLACES if name.endswith(".md")])
def test_links_of_pages_stay_in_the_site(name: str) -> None:
    folder = Path(PLACES[name]).parent
    there = {Path(place) for place in PLACES.values()}
    assert [link for link in links(site_pages.page(name, PLACES)) if folder / link not in there] == []


def test_readme_as_the_first_page() -> None:
    first = site_pages.page("README.md", PLACES)
    assert "](pictures/digits-front.svg)" in first
    assert "](export.md)" in first
    assert "](results/README.md)" in first
    assert "Apache 2.0 (`LICENSE`)" in first


def test_what_comes_from_the_code() -> None:
    commands = site_pages.page("docs/commands.md", PLACES)
    assert "## memnas verify\n\n```\nUsage: memnas verify [OPTIONS] FILE.c\n" in commands
    keys = site_pages.page("docs/settings-keys.md", PLACES)
    assert "| `rungs` | Length of each rung of a candidate's training, as a share of" in keys
    assert "| `[0.1, 0.4]` |" in keys
    sections = [name for name in Settings.__dataclass_fields__ if name != "store"]
    assert re.findall(r"^## (\w+)$", keys, re.MULTILINE) == sections
