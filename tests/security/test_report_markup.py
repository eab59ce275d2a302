"""Words from others in a report are words: no tag, attribute or address of theirs gets into the page."""

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from memnas_core.files.checksums import SUMS_FILE, read_sums, write_sums
from memnas_core.results.folder import SearchFolder
from memnas_core.results.report import write_report
from tests.security.conftest import SEARCH

HOSTILE = (
    "\"'></title></svg></script></td><script>alert(1)</script><img src=x onerror=alert(1)>"
    "<a href='javascript:x'>&{{7*7}}"
)


class Page(HTMLParser):
    """Counts tags, and keeps what could run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.links: set[str] = set()
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        self.links |= {str(value) for name, value in attrs if name in ("href", "src", "xlink:href", "action")}

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_report_of_hostile_words(store: Path) -> None:
    plain = SearchFolder(store / "searches" / SEARCH)
    before = Page(write_report(plain).read_text())
    plain.report.unlink()
    folder = SearchFolder(plain.path.rename(plain.path.with_name("<img src=x onerror=alert(1)>")))

    start = json.loads((folder.path / "start.json").read_text())
    start["machine"] = HOSTILE
    start["versions"] = [[HOSTILE, HOSTILE]]
    start["dataset"] |= {"name": HOSTILE, "source": HOSTILE, "classes": [f"{HOSTILE}{number}" for number in range(10)]}
    (folder.path / "start.json").write_text(json.dumps(start))
    for number in (0, 1):
        path = folder.round_folder(number)
        summary = json.loads((path / "round.json").read_text())
        (path / "round.json").write_text(json.dumps(summary | {"winner_move": HOSTILE}))
        table = pq.read_table(path / "candidates.parquet")
        place = table.schema.get_field_index("move")
        moves = pa.array([HOSTILE] * len(table))
        pq.write_table(table.set_column(place, table.schema.field(place), moves), path / "candidates.parquet")
    training = folder.chosen / "training.json"
    training.write_text(json.dumps(json.loads(training.read_text()) | {"message": HOSTILE, "device": HOSTILE}))

    for sums in folder.path.rglob(SUMS_FILE):  # whoever writes the words writes their checksums
        write_sums(sums.parent, list(read_sums(sums.parent)))
    after = Page(write_report(folder).read_text())
    assert HOSTILE in after.words
    assert "<img src=x onerror=alert(1)>" in after.words  # its name
    for tag in ("script", "img", "a", "iframe", "object", "svg", "style", "td"):
        assert after.tags[tag] == before.tags[tag], tag
    assert {name for name in after.attributes if name.startswith("on")} == set()
    assert all(link.startswith(("#", "data:", "http")) for link in after.links)
    assert after.links >= {link for link in before.links if link.startswith("http")}
