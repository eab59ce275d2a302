"""`memnas ui` in a real browser: the state of MLflow's pages that the table relies on is not documented."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, sync_playwright

from memnas_core.errors import TrackingError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.records.trainings import Status
from tasks.tracking.candidate_log import CandidateLog
from tasks.tracking.tracker import Tracker

REPOSITORY = Path(__file__).resolve().parents[3]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SERVE = """
import sys
from pathlib import Path
from tasks.tracking.ui import serve
serve(None, Path(sys.argv[1]), "memnas", int(sys.argv[2]))
"""
PATIENCE_MS = 600_000  # the pages are large and test machines small

pytestmark = pytest.mark.timeout(1200)

# Name, round, status, accuracy, weights, peak, score, predicted score; in no order.
CANDIDATES = (
    ("b1", 1, Status.TRAINED, 0.8125, 10_240, 2_048, 0.0312, None),
    ("a0", 0, Status.TRAINED, 0.7500, 8_192, 1_024, 0.0, None),
    ("b2", 1, Status.DIVERGED, None, 12_288, 4_096, None, 0.0625),
    ("c1", 2, Status.TRAINED, 0.9375, 11_264, 2_560, 0.0781, 0.0547),
    ("c2", 2, Status.TRAINED, 0.9062, 9_216, 1_536, 0.0469, 0.0391),
    ("b3", 1, Status.TRAINED, 0.8750, 9_728, 3_072, 0.0156, 0.0234),
)
# The table in words: sorted by accuracy, best first; what has none comes last; a dash is nothing.
EXPECTED = [
    ["c1", "2", "0.9375", "11264", "2560", "13824", "0.0781", "0.0547", "move to c1", "trained", "digits"],
    ["c2", "2", "0.9062", "9216", "1536", "10752", "0.0469", "0.0391", "move to c2", "trained", "digits"],
    ["b3", "1", "0.875", "9728", "3072", "12800", "0.0156", "0.0234", "move to b3", "trained", "digits"],
    ["b1", "1", "0.8125", "10240", "2048", "12288", "0.0312", "-", "move to b1", "trained", "digits"],
    ["a0", "0", "0.75", "8192", "1024", "9216", "0", "-", "move to a0", "trained", "digits"],
    ["b2", "1", "-", "12288", "4096", "16384", "-", "0.0625", "move to b2", "diverged", "digits"],
]
COLUMNS = {
    "round": "metrics.`round`",
    "accuracy": "metrics.`accuracy`",
    "param_bytes": "metrics.`param_bytes`",
    "peak_bytes": "metrics.`peak_bytes`",
    "total_bytes": "metrics.`total_bytes`",
    "score": "metrics.`score`",
    "predicted_score": "metrics.`predicted_score`",
    "move": "params.`move`",
    "status": "tags.`status`",
    "search": "tags.`search`",
}


def candidate(
    name: str,
    number: int,
    status: Status,
    accuracy: float | None,
    weights: int,
    peak: int,
    _score: float | None,
    predicted: float | None,
    pictures: Path,
) -> CandidateLog:
    return CandidateLog(
        arch_id=f"{name}{'f' * 10}",
        name=name,
        round=number,
        parent_id="",
        move=f"move to {name}",
        status=status,
        memory=MemoryFigures(weights, peak, peak, peak, peak),
        peak_bytes=peak,
        predicted_rank=1,
        predicted_score=predicted,
        predicted_accuracy=None,
        accuracy=accuracy,
        training_started=1_700_000_000.0,
        training_seconds=2.0,
        images_seen=1000,
        history=(),
        artifacts=pictures,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store of a search that was recorded as any other."""
    store = tmp_path_factory.mktemp("table") / "store"
    pictures = store / "pictures"
    pictures.mkdir(parents=True)
    picture = pictures / "architecture.svg"
    tracker = Tracker.connect(None, store, "memnas")
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg' width='123' height='45'/>", encoding="utf-8")
    with tracker.search("digits", {"search.seed": "0"}, {}) as search:
        for name, number, status, accuracy, weights, peak, score, predicted in CANDIDATES:
            log = candidate(name, number, status, accuracy, weights, peak, score, predicted, pictures)
            run = tracker.log_candidate(tracker.start_round(search, number), log)
            if score is not None:
                tracker.update_scores(run, score, rank=1)
        for number in range(3):
            tracker.end(tracker.start_round(search, number), "FINISHED")
    return store


@pytest.fixture(scope="module")
def ui(store: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run what `memnas ui` runs; give the process and the address that it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(store), str(port)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        assert lines[0] == "Starting MLflow's server ...\n"
        assert lines[1].startswith(f"Candidates: http://127.0.0.1:{port}/#/experiments/")
        yield process, lines[1].split(maxsplit=1)[1].strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@pytest.fixture(scope="module")
def page(ui: tuple[subprocess.Popen[str], str]) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("expected chromium, found none; scripts/system-packages.sh installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 2200, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(ui[1])
        page.wait_for_selector(".ag-center-cols-container [role=row]")
        yield page
        browser.close()


def test_the_server_listens_on_the_loopback_address_alone(ui: tuple[subprocess.Popen[str], str]) -> None:
    listening = {
        connection.laddr.ip
        for child in psutil.Process(ui[0].pid).children(recursive=True)
        for connection in child.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_columns_are_those_of_a_search_and_readable(page: Page) -> None:
    headers = page.locator(".ag-header-viewport .ag-header-row-column .ag-header-cell").all()
    headers.sort(key=lambda header: header.evaluate("e => e.getBoundingClientRect().x"))
    assert [header.inner_text().strip() for header in headers] == list(COLUMNS)
    for header in headers:
        # The elements that hold the text; one that is cut off is wider inside than outside.
        cut = header.evaluate(
            "e => [...e.querySelectorAll('*')].some(x => x.innerText && x.scrollWidth > x.clientWidth + 1"
            " && getComputedStyle(x).overflow != 'visible')"
        )
        assert not cut, f"the header {header.inner_text()} is cut off"


def test_lists_all_candidates_and_nothing_else_best_first(page: Page) -> None:
    def row(index: int) -> list[str]:
        cells = page.locator(f'[row-index="{index}"]')
        name = cells.get_by_role("link").first.inner_text()
        return [
            name,
            *(cells.locator(f'[col-id="{column}"]').inner_text().strip() for column in COLUMNS.values()),
        ]

    assert [row(index) for index in range(len(EXPECTED))] == EXPECTED
    assert page.locator(".ag-center-cols-container [role=row]").count() == len(EXPECTED)
    assert page.get_by_text("6 matching runs").is_visible()


def test_candidate_page_shows_its_picture(page: Page) -> None:
    page.get_by_role("link", name="c1", exact=True).click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("architecture.svg").first.click()
    page.wait_for_function("[...document.images].some(image => image.naturalWidth === 123)")


def test_record_over_http_is_silent_and_says_when_the_server_is_gone(
    store: Path,
    ui: tuple[subprocess.Popen[str], str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also the end of `memnas ui`: Ctrl-C leaves no process. So this test comes last."""
    process, url = ui
    address = url.partition("/#/")[0]
    tracker = Tracker.connect(address, store, "memnas")
    assert tracker.table_url() == url
    search = tracker.start_search("over http", {"search.seed": "0"}, {})
    round_run = tracker.start_round(search, 1)
    run = tracker.log_candidate(round_run, candidate(*CANDIDATES[0], store / "pictures"))
    tracker.end(round_run, "FINISHED")
    again = candidate(*CANDIDATES[0], store / "pictures")
    assert Tracker.connect(None, store, "memnas").log_candidate(round_run, again) == run

    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) >= 2
    process.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(family, timeout=300)
    assert not alive
    assert process.wait() == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(TrackingError, match="it no longer answers; start it again and go on with --resume"):
        tracker.end(search, "FINISHED")
    assert capfd.readouterr() == ("", "")
