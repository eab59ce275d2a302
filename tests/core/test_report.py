"""The report, on a small search whose accuracies are made up; its networks and bytes are real."""

import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import to_json
from memnas_core.data import DatasetInfo
from memnas_core.errors import RecordError
from memnas_core.graph import Shape, lower
from memnas_core.grow_trim import Candidate, generate, seed_architecture
from memnas_core.measure import measure
from memnas_core.memory import lifetimes
from memnas_core.metric import Performance, pareto_front, score
from memnas_core.records import CandidateRow, RoundSummary, Status
from memnas_core.report import ChosenNetwork, ReportData, build_report
from memnas_core.running_order import best_order
from memnas_core.settings_file import load_settings
from memnas_core.training import EpochFigures

SETTINGS = load_settings(Path(__file__).parents[2] / "params.yaml")
SHAPE = Shape(1, 8, 8)
CLASSES = tuple(str(digit) for digit in range(10))


def made_up_search(seed: int, rounds: int, trained: int) -> ReportData:
    """Walk at random through the search space; no network is trained, so every accuracy is invented."""
    rng = random.Random(seed)
    base = seed_architecture(SETTINGS.network.strides, SETTINGS.network.filters)
    rows = [_row(Candidate(base, base.arch_id, None, "seed", 0), 0.9, None, 1, is_winner=True)]
    summaries = [_summary(rows[0], rows[0], (0, 0, 0, 1), 1, 0)]
    winner = rows[0]
    networks = {base.arch_id: base}
    for number in range(1, rounds + 1):
        candidates, counts = generate(base, number, networks)
        picked = rng.sample(candidates, trained)
        networks |= {candidate.arch_id: candidate.architecture for candidate in picked}
        previous = winner
        fresh = []
        for rank, candidate in enumerate(picked, start=1):
            accuracy = min(0.99, max(0.2, rng.gauss((previous.measured_accuracy or 0) + 0.008, 0.012)))
            fresh.append(_row(candidate, accuracy, previous, rank))
        if trained > 2:
            fresh[-1] = replace(
                fresh[-1],
                measured_accuracy=None,
                measured_score=None,
                measured_rank=None,
                status=Status.DIVERGED,
            )
        order = sorted(fresh, key=lambda row: -9 if row.measured_score is None else row.measured_score, reverse=True)
        fresh = [
            replace(row, measured_rank=place if row.measured_score is not None else None, is_winner=place == 1)
            for place, row in enumerate(order, start=1)
        ]
        winner = fresh[0]
        base = networks[winner.arch_id]
        rows += fresh
        moves = (counts.grown, counts.trimmed, counts.cut, counts.unique)
        failed = sum(row.measured_accuracy is None for row in fresh)
        summaries.append(_summary(winner, previous, moves, trained - failed, failed))
    return _report_data(rows, summaries, winner, base)


def _row(
    candidate: Candidate, accuracy: float, base: CandidateRow | None, rank: int, is_winner: bool = False
) -> CandidateRow:
    memory = measure(candidate.architecture, SHAPE, len(CLASSES), 4, 4)
    own = Performance(accuracy, memory.minimum_bytes, memory.param_bytes)
    y = 0.0 if base is None else score(own, _performance(base), SETTINGS.objective.accuracy_weight)
    return CandidateRow(
        arch_id=candidate.arch_id,
        architecture=to_json(candidate.architecture),
        parent_id=candidate.parent_id or "",
        move=candidate.move,
        round=candidate.round,
        param_bytes=memory.param_bytes,
        paper_bytes=memory.paper_bytes,
        sequential_bytes=memory.sequential_bytes,
        minimum_bytes=memory.minimum_bytes,
        arena_bytes=memory.arena_bytes,
        predicted_score=None if candidate.round < 2 else y + 0.01,
        predicted_accuracy=None,
        predicted_rank=rank,
        measured_accuracy=accuracy,
        measured_score=y,
        measured_rank=rank,
        status=Status.TRAINED,
        training_seconds=4.2,
        images_seen=20000,
        is_winner=is_winner,
    )


def _performance(row: CandidateRow) -> Performance:
    assert row.measured_accuracy is not None
    return Performance(row.measured_accuracy, row.minimum_bytes, row.param_bytes)


def _summary(
    winner: CandidateRow, base: CandidateRow, moves: tuple[int, int, int, int], trained: int, failed: int
) -> RoundSummary:
    grown, trimmed, cut, unique = moves
    assert winner.measured_accuracy is not None
    assert winner.measured_score is not None
    return RoundSummary(
        round=winner.round,
        base_id=base.arch_id,
        winner_id=winner.arch_id,
        winner_move=winner.move,
        accuracy=winner.measured_accuracy,
        param_bytes=winner.param_bytes,
        activation_bytes=winner.minimum_bytes,
        score=winner.measured_score,
        cells=1,
        grown=grown,
        trimmed=trimmed,
        cut=cut,
        candidates=unique,
        trained=trained,
        failed=failed,
        rank_tau=None if winner.round < 2 else 0.31,
        images_seen=20000 * trained,
        wall_seconds=20.0 + winner.round,
        training_wall_seconds=19.0,
        training_cpu_seconds=33.0,
    )


def _report_data(
    rows: list[CandidateRow], summaries: list[RoundSummary], winner: CandidateRow, network: Architecture
) -> ReportData:
    trained = [row for row in rows if row.measured_accuracy is not None]
    costs = [(-(row.measured_accuracy or 0), row.param_bytes + row.minimum_bytes) for row in trained]
    graph = lower(network, SHAPE, len(CLASSES))
    history = tuple(
        EpochFigures(epoch, 2.3 / epoch, 1 - 0.8 / epoch, 1 - 0.7 / epoch, 0.05, 0.2) for epoch in range(1, 21)
    )
    started = datetime(2026, 11, 5, 9, 30, tzinfo=UTC)
    return ReportData(
        name="digits-0",
        settings=SETTINGS,
        dataset=DatasetInfo(
            name="digits",
            classes=CLASSES,
            shape=tuple(SHAPE),
            channel_mean=(0.3,),
            channel_std=(0.2,),
            train_size=1150,
            validation_size=287,
            test_size=360,
            horizontal_flip=False,
            digest="0" * 64,
            source="scikit-learn",
        ),
        rounds=summaries,
        candidates=rows,
        front=[trained[place] for place in pareto_front(costs)],
        chosen=ChosenNetwork(
            architecture=network,
            arch_id=winner.arch_id,
            round=winner.round,
            validation_accuracy=winner.measured_accuracy or 0,
            test_accuracy=0.9417,
            retrained_epochs=None,
            memory=measure(network, SHAPE, len(CLASSES), 4, 4),
            history=history,
        ),
        lifetimes=lifetimes(graph.plain(), graph.sizes(4), "minimum"),
        least=best_order(graph)[1],
        versions=[("memnas", "0.1.0"), ("python", "3.11.7"), ("torch", "2.14.1")],
        machine="x86_64, 2 cores",
        started=started,
        finished=started + timedelta(seconds=141),
    )


SVG = "{http://www.w3.org/2000/svg}"
LINKING = ("src", "href", "xlink:href", "action", "poster", "data", "srcset")


class Page(HTMLParser):
    """What a browser would find: tags with their attributes, and text outside of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def search() -> ReportData:
    return made_up_search(seed=1, rounds=4, trained=8)


@pytest.fixture(scope="module")
def html(search: ReportData) -> str:
    return build_report(search)


def pictures(html: str) -> dict[str, ElementTree.Element]:
    """The pictures of a report by the first word of their label."""
    found = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg .*?</svg>", html, re.DOTALL)]
    return {picture.attrib["aria-label"].split()[0]: picture for picture in found}


def places(picture: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    (group,) = (group for group in picture.iter(f"{SVG}g") if group.get("class") == name)
    marks = [(float(use.attrib["x"]), float(use.attrib["y"])) for use in group.iter(f"{SVG}use")]
    if marks:
        return marks
    # matplotlib writes few marks out as outlines.
    outlines = [re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"]) for path in group.iter(f"{SVG}path")]
    return [tuple(_middle([float(point[axis]) for point in outline]) for axis in (0, 1)) for outline in outlines]


def _middle(values: list[float]) -> float:
    return (min(values) + max(values)) / 2


def total(row: CandidateRow) -> int:
    return row.param_bytes + row.minimum_bytes


def test_nothing_is_loaded_from_outside(html: str) -> None:
    for tag, attributes in Page(html).tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        for name in LINKING:
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)


def test_all_seven_pictures_are_well_formed(html: str) -> None:
    labels = {"validation", "winners", "wall", "lineage", "architecture", "Tensors", "training"}
    assert set(pictures(html)) == labels


def test_the_headline_is_the_chosen_network(html: str, search: ReportData) -> None:
    text = "".join(Page(html).text)
    seed, chosen = search.candidates[0], search.chosen
    assert "94.17 %" in text
    assert f"{chosen.memory.param_bytes:,}" in text
    for theirs, ours in (
        (seed.param_bytes, chosen.memory.param_bytes),
        (seed.paper_bytes, chosen.memory.paper_bytes),
        (seed.sequential_bytes, chosen.memory.sequential_bytes),
        (seed.minimum_bytes, chosen.memory.minimum_bytes),
        (seed.arena_bytes, chosen.memory.arena_bytes),
    ):
        change = f"{100 * (ours / theirs - 1):+.1f} %".replace("-", "−")
        assert f'<td class="n">{theirs:,}</td><td class="n">{ours:,}</td><td class="n">{change}</td>' in html
    assert f"peak {search.lifetimes.peak:,} bytes" in text
    assert search.lifetimes.peak == chosen.memory.minimum_bytes


def test_the_budget_and_what_the_chosen_network_uses_of_it(html: str, search: ReportData) -> None:
    assert "The budget" not in html
    objective = replace(search.settings.objective, device="rp2040", max_param_bytes=10**7)
    told = replace(search, settings=replace(search.settings, objective=objective))
    weights, activations = search.chosen.memory.param_bytes, search.chosen.memory.minimum_bytes
    text = " ".join("".join(Page(build_report(told)).text).split())
    assert (
        f"The budget (rp2040) and what it uses of it: weights {weights:,} of 10,000,000 bytes "
        f"({weights / 10**7:.1%}); activations {activations:,} of 270,336 bytes ({activations / 270336:.1%})."
    ) in text


def test_whether_minimum_is_exact(html: str, search: ReportData) -> None:
    def words(page: str) -> str:
        return " ".join("".join(Page(page).text).split())

    assert "For the chosen network it is exact: no order needs less." in words(html)
    cut_short = replace(search.least, lower_bound=search.least.bytes - 1024, exact=False)
    expected = f"it is the best order found; no order needs less than {search.least.bytes - 1024:,} bytes."
    assert expected in words(build_report(replace(search, least=cut_short)))


def test_a_report_of_tables_without_arenas(search: ReportData) -> None:
    rows = [replace(row, arena_bytes=None) for row in search.candidates]
    chosen = replace(search.chosen, memory=replace(search.chosen.memory, arena_bytes=None))
    # No search of that time knew the convention.
    objective = replace(search.settings.objective, activation_convention="minimum")
    settings = replace(search.settings, objective=objective)
    page = build_report(replace(search, candidates=rows, chosen=chosen, settings=settings))
    assert "Arena, bytes" not in page


def test_the_front_is_exactly_the_pareto_points(html: str, search: ReportData) -> None:
    trained = [row for row in search.candidates if row.measured_accuracy is not None]
    # A definition of its own: nobody is at least as good in both and better in one.
    best = [
        row
        for row in trained
        if not any(
            (other.measured_accuracy or 0) >= (row.measured_accuracy or 0)
            and total(other) <= total(row)
            and (other.measured_accuracy, total(other)) != (row.measured_accuracy, total(row))
            for other in trained
        )
    ]
    picture = pictures(html)["validation"]
    rings = places(picture, "front")
    points = {}
    for name, is_winner in (("candidates", False), ("winners", True)):
        group = [row for row in trained if row.is_winner is is_winner]
        found = places(picture, name)
        assert len(found) == len(group)
        points |= {row.arch_id: place for row, place in zip(group, found, strict=True)}
    for ring, point in zip(sorted(rings), sorted(points[row.arch_id] for row in best), strict=True):
        assert ring == pytest.approx(point, abs=0.01)
    assert 1 < len(best) < len(trained)
    (star,) = places(picture, "chosen")
    assert star == pytest.approx(points[search.chosen.arch_id], abs=1.5)  # a star's middle is not its centre
    _, _, section = html.partition("<h2>Pareto front</h2>")
    section, _, _ = section.partition("<h2>")
    listed = re.findall(r'<td class="id">(\w+)</td>', section)
    assert sorted(listed) == sorted(row.arch_id for row in best)


def test_points_stand_where_their_figures_say(html: str, search: ReportData) -> None:
    rows = [row for row in search.candidates if row.measured_accuracy is not None and not row.is_winner]
    found = places(pictures(html)["validation"], "candidates")
    least, most = (
        min(range(len(rows)), key=lambda i: total(rows[i])),
        max(range(len(rows)), key=lambda i: total(rows[i])),
    )
    scale = (found[most][0] - found[least][0]) / (total(rows[most]) - total(rows[least]))
    assert scale > 0  # more bytes stand further right
    for row, (x, _) in zip(rows, found, strict=True):
        assert x == pytest.approx(found[least][0] + scale * (total(row) - total(rows[least])), abs=0.01)
    accuracies = [row.measured_accuracy or 0 for row in rows]
    order = sorted(range(len(rows)), key=lambda i: accuracies[i])
    assert sorted((y for _, y in found), reverse=True) == [found[i][1] for i in order]  # y grows downwards


def test_the_lineage_has_every_trained_child(html: str, search: ReportData) -> None:
    picture = pictures(html)["lineage"]
    children = [row for row in search.candidates if row.measured_accuracy is not None and not row.is_winner]
    assert len(places(picture, "children")) == len(children)
    assert len(places(picture, "winners")) == len(search.rounds)
    assert len(places(picture, "failed")) == sum(row.status is Status.DIVERGED for row in search.candidates)


def test_tables_list_the_trained_and_only_them(search: ReportData) -> None:
    idle = replace(
        search.candidates[5],
        arch_id="feedfeedfeedfeed",
        status=Status.GENERATED,
        measured_accuracy=None,
        measured_score=None,
        measured_rank=None,
        training_seconds=None,
    )
    html = build_report(replace(search, candidates=[*search.candidates, idle]))
    assert idle.arch_id not in html
    _, _, section = html.partition("<h2>All trained networks</h2>")
    section, _, failed = section.partition("</table>")
    trained = {row.arch_id for row in search.candidates if row.measured_accuracy is not None}
    assert set(re.findall(r'<td class="id">(\w+)</td>', section)) == trained
    assert len(re.findall(r"<td>diverged</td>", failed)) == len(search.rounds) - 1


def test_hostile_names_stay_text(search: ReportData) -> None:
    hostile = '</title><script>alert("x")</script><img src=x onerror=y>&amp;'
    dataset = replace(search.dataset, source=hostile, classes=(hostile, "cat"))
    html = build_report(replace(search, name=hostile, dataset=dataset, machine=hostile))
    page = Page(html)
    assert "".join(page.text).count(hostile) == 5  # title, heading, source, classes, machine
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(tag == "img" for tag, _ in page.tags)


def test_sixty_networks_stay_small() -> None:
    search = made_up_search(seed=2, rounds=6, trained=10)
    assert len(search.candidates) > 60
    assert len(build_report(search).encode()) < 1_000_000


def test_a_search_that_kept_its_seed_has_a_report() -> None:
    html = build_report(made_up_search(seed=1, rounds=0, trained=0))
    assert "the seed itself" in html
    assert "Trainings that failed" not in html


def test_an_unfinished_search_has_a_report(search: ReportData) -> None:
    unfinished = replace(search, finished=None, chosen=replace(search.chosen, test_accuracy=None))
    text = "".join(Page(build_report(unfinished)).text)
    assert "29 networks trained so far; the search is not finished." in " ".join(text.split())
    assert "test accuracy, not measured yet" in text
    assert "94.17" not in text


def test_a_missing_row_is_named(search: ReportData) -> None:
    chosen = search.chosen.arch_id
    with pytest.raises(RecordError, match=chosen):
        build_report(replace(search, candidates=[row for row in search.candidates if row.arch_id != chosen]))
