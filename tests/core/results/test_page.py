"""The report, on a small search whose accuracies are made up; its networks and bytes are real."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from memnas_core.errors import RecordError
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import Status
from memnas_core.results.page import ReportData, build_report
from tests.core.results.made_up_report import made_up_search

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
    return row.memory.param_bytes + row.memory.minimum_bytes


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
        (seed.memory.param_bytes, chosen.memory.param_bytes),
        (seed.memory.paper_bytes, chosen.memory.paper_bytes),
        (seed.memory.sequential_bytes, chosen.memory.sequential_bytes),
        (seed.memory.minimum_bytes, chosen.memory.minimum_bytes),
        (seed.memory.arena_bytes, chosen.memory.arena_bytes),
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


def test_a_network_trained_on_all_images_has_the_validation_accuracy_of_the_search(search: ReportData) -> None:
    history = [replace(line, validation_accuracy=None) for line in search.chosen.history]
    chosen = replace(search.chosen, history=tuple(history), retrained_epochs=30)
    text = " ".join("".join(Page(build_report(replace(search, chosen=chosen))).text).split())
    assert "validation accuracy in the search" in text
    assert "30 epochs, on the training and the validation images together." in text


def test_a_missing_row_is_named(search: ReportData) -> None:
    chosen = search.chosen.arch_id
    with pytest.raises(RecordError, match=chosen):
        build_report(replace(search, candidates=[row for row in search.candidates if row.arch_id != chosen]))


def test_it_says_why_two_accuracies_differ_and_what_is_doubtful(html: str, search: ReportData) -> None:
    """On 360 images, 1.96 * sqrt(.9417 * .0583 / 360) is 2.4 points; on 287 by the same formula."""
    found = search.chosen.validation_accuracy
    validation = 196 * (found * (1 - found) / 287) ** 0.5
    text = " ".join("".join(Page(html).text).split())
    assert f"chance alone moves it by about {validation:.1f} points either way" in text
    assert "and the test accuracy on 360 images by about 2.4 (95 %)" in text
    assert "Doubts about the images11 of the 12 test images are <training> images as well." in text
