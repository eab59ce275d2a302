"""Stage `page`: every table and figure on one page, `results/README.md` and the self-contained `results/index.html`.

Reads what the other stages left in `results/` and computes only its sentences. The figures that matter most go to
`results/metrics.json` for `dvc metrics show`.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from experiments import ablations, figure3, figure4, figure5, table1, table2
from experiments.controllers.learners import PAPERS_SCC
from experiments.controllers.notes import table3_notes
from experiments.headlines import headlines
from experiments.page_views import (
    Column,
    Line,
    TableView,
    count,
    megabytes,
    number,
    percent,
    read_lines,
    text,
    view,
    with_interval,
)
from experiments.plan import PLAN_FILE, RESULTS, Plan, load_plan
from experiments.search_results import read_search, sweep_keys
from experiments.stage import run_stage
from experiments.tidy import read_paper
from memnas_core.errors import RecordError
from memnas_core.files.writing import write_text


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure: its file relative to `results/`, and a description of what it shows."""

    file: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        title: Heading of the section.
        lead: What was asked, and on what.
        tables: Tables in order.
        pictures: Pictures in order, shown after the tables.
        notes: One sentence for each difference from the paper.
    """

    title: str
    lead: str
    tables: tuple[TableView, ...]
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]


MEMORY_COLUMNS = (
    Column("Weights, MB", megabytes("param_bytes")),
    Column("Peak (paper), MB", megabytes("paper_bytes")),
    Column("Peak (sequential), MB", megabytes("sequential_bytes")),
    Column("Peak (minimum), MB", megabytes("minimum_bytes")),
    Column("Total (sequential), MB", megabytes("total_sequential_bytes")),
)
PRINTED_COLUMNS = (
    Column("Total Memory, MB", text("paper_total_mb"), is_printed=True),
    Column("Top-1, %", percent("paper_accuracy"), is_printed=True),
)
MODEL = Column("Network", text("model"), is_text=True)
SOURCE = Column("Definition", text("source"), is_text=True)


def table1_section(plan: Plan, results: Path) -> Section:
    """Return Table 1."""
    columns = (
        MODEL,
        *MEMORY_COLUMNS,
        Column("Top-1 (95 %), %", with_interval(percent, "accuracy")),
        Column("Images seen", count("images_seen")),
        *PRINTED_COLUMNS,
        SOURCE,
    )
    return Section(
        title="Table 1: networks for small images",
        lead="Memory of one 3×32×32 image at float32; accuracy at equal training budget on this run's data.",
        tables=(view("", columns, read_lines(results / "table1.csv"), "table1.csv"),),
        pictures=(),
        notes=table1.table1_notes(plan, results),
    )


def table2_section(plan: Plan, results: Path) -> Section:
    """Return Table 2."""
    columns = (
        MODEL,
        *MEMORY_COLUMNS,
        Column("Latency by MobileNet V2's (quartiles)", with_interval(lambda name: number(name, 2), "latency_ratio")),
        PRINTED_COLUMNS[0],
        Column("Latency on a Pixel 1, ms", text("paper_latency_ms"), is_printed=True),
        PRINTED_COLUMNS[1],
        SOURCE,
    )
    return Section(
        title="Table 2: networks for ImageNet",
        lead="Memory of one 3×224×224 image at float32; latency at batch 1 on one core, all networks in one run.",
        tables=(view("", columns, read_lines(results / "table2.csv"), "table2.csv"),),
        pictures=(),
        notes=table2.table2_notes(plan, results),
    )


PRINTED_CONTROLLERS = {"Single-RNN": "Single-RNN", "Double-RNN": "Double-RNN", PAPERS_SCC: "SCC"}
"""Controllers of Table 3 by the names that the paper prints."""


def table3_section(results: Path, notes: tuple[str, ...]) -> Section:
    """Return Table 3: a table for each split and lambda, with the paper's figures next to those measured."""
    printed = {(line["controller"], line["k"]): line for line in read_paper("table3")}

    def from_paper(figure: str, k: str) -> Column:
        def show(line: Line) -> str:
            return printed.get((PRINTED_CONTROLLERS.get(line["controller"], ""), k), {}).get(figure) or "–"

        return Column(f"{figure.upper()}@{k}", show, is_printed=True)

    def at(figure: str, k: str) -> Column:
        return Column(f"{figure.upper()}@{k}", number(f"{figure}@{k}", 3))

    columns = (
        Column("Controller", text("controller"), is_text=True),
        Column("τ (95 %)", with_interval(lambda name: number(name, 3), "tau")),
        *(at(figure, k) for figure in ("ap", "ndcg") for k in ("50", "100")),
        Column("τ among children of one base", number("tau_within_bases", 3)),
        Column("Learning, s", number("training_seconds", 2)),
        Column("Ranking, s", number("ranking_seconds", 2)),
        *(from_paper(figure, k) for figure in ("ap", "ndcg") for k in ("50", "100")),
    )
    lines = read_lines(results / "table3.csv")

    def key(line: Line) -> tuple[str, str]:
        return line["split"], line["lambda"]

    tables = []
    for (split, accuracy_weight), group in groupby(sorted(lines, key=key), key):
        wide = list(_one_line_each(group))
        first = wide[0]
        tables.append(
            view(
                f"Split {split}, λ = {float(accuracy_weight):g}: learned from {count('train_n')(first)} candidates, "
                f"ranked {first['n']}, {first['seeds']} seeds; both halves of the trainings agree with "
                f"τ = {number('ceiling', 3)(first)} "
                f"(among children of one base {number('ceiling_within_bases', 3)(first)}).",
                columns,
                sorted(wide, key=lambda line: -float(line["tau"])),
                "table3.csv",
            )
        )
    return Section(
        title="Table 3: controllers",
        lead="Which of the candidates that are not trained yet are good? Learned from one half of each candidate's "
        "trainings, judged against the other, independent one.",
        tables=tuple(tables),
        pictures=(
            Picture(
                "figures/table3.svg",
                "Kendall's tau of every controller with its interval; the line: both halves of the trainings",
            ),
            Picture("figures/table3-learning-curve.svg", "Kendall's tau over the number of trained candidates"),
        ),
        notes=notes,
    )


def _one_line_each(lines: Iterator[Line]) -> Iterator[Line]:
    """Join the lines of a controller, one for each k, into a single line with columns such as `ap@50`."""
    for _, group in groupby(lines, lambda line: line["controller"]):
        same = list(group)
        at_k = {f"{figure}@{line['k']}": line[figure] for line in same for figure in ("ap", "ndcg")}
        yield {f"{figure}@{k}": "" for figure in ("ap", "ndcg") for k in (50, 100)} | same[0] | at_k


def sections(plan: Plan, results: Path = RESULTS) -> tuple[Section, ...]:
    """Return the sections of the page.

    Raises:
        RecordError: A stage has not run, or its result is damaged.
    """
    return (
        table1_section(plan, results),
        table2_section(plan, results),
        table3_section(results, table3_notes(results)),
        Section(
            "Figure 3: lifetimes",
            "Which tensors are in memory when: the paper's example, and the network found here at λ = 0.5.",
            (),
            (
                Picture("figures/figure3-example.svg", "The paper's example"),
                Picture("figures/figure3-found.svg", "The network found at λ = 0.5"),
            ),
            figure3.page_notes(plan),
        ),
        Section(
            "Figure 4: over the rounds",
            "Accuracy, weights and peak activations of each round's winner for λ = 1 and λ = 0.5.",
            (),
            (Picture("figures/figure4.svg", "Accuracy, weights and activations over the rounds"),),
            figure4.page_notes(plan),
        ),
        Section(
            "Figure 5: over λ",
            "Error and memory of the network that each search hands over.",
            (),
            (Picture("figures/figure5.svg", "Error and memory over λ"),),
            figure5.page_notes(plan),
        ),
        Section(
            "Ablations",
            "What trimming and the controller bring at equal training budget; the paper has no such figures. The "
            "controller comes with exact memory, and at λ = 0.5 memory decides: in a first look (one seed), one that "
            "predicts no more than the base's accuracy had the same score. So these searches do not show that "
            "predicting accuracy helps.",
            (),
            (Picture("figures/ablations.svg", "Arms at equal images seen"),),
            ablations.page_notes(plan),
        ),
    )


def facts(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return what all measured figures have in common: data, network template, budgets, seeds and machine.

    Raises:
        RecordError: A search has not been run.
    """
    settings = plan.load_settings()
    search, training = settings.search, settings.training
    metrics = read_search(sweep_keys(plan)[0]).metrics
    seeds = len(plan.sweep.seeds)
    draws = plan.candidates
    return (
        (
            "Data",
            f"{metrics.dataset}, {metrics.channels}×{metrics.image_size}×{metrics.image_size}, {metrics.classes} "
            f"classes; {metrics.training_images:,} images to train on, {metrics.validation_images:,} to validate, "
            f"{metrics.test_images:,} to test",
        ),
        (
            "Networks",
            f"{len(settings.network.strides)} blocks with strides {', '.join(map(str, settings.network.strides))}, "
            f"F = {settings.network.filters}",
        ),
        (
            "Searches",
            f"{len(plan.sweep.lambdas)} values of λ, {seeds} seeds each; at most {search.rounds} rounds of "
            f"k = {search.top_k}; {_epochs(training.epochs)} a candidate, {_epochs(settings.final.epochs or 0)} for "
            "the network that is handed over",
        ),
        (
            "Candidates of Table 3",
            f"{draws.lineages} lineages, {draws.rounds} rounds, {draws.children} children a round; each trained "
            f"{draws.trainings} times for {_epochs(training.epochs)}",
        ),
        ("Machine", f"{metrics.machine}; {metrics.device}, torch {metrics.torch}"),
        ("Settings", f"{plan.settings}, {PLAN_FILE}"),
    )


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"


def render(common: Sequence[tuple[str, str]], parts: Sequence[Section], results: Path) -> tuple[str, str]:
    """Return the page as Markdown and as HTML that needs no other file.

    Args:
        common: Facts that hold for all measured figures, as names and words.
        parts: The page's sections.
        results: Folder of the pictures.
    """
    environment = Environment(
        loader=PackageLoader("experiments"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=lambda name: name is not None and ".html" in name,
        keep_trailing_newline=True,
    )
    environment.filters["picture"] = lambda picture: _data_uri(results / picture.file)
    environment.filters["cell"] = lambda words: words.replace("|", "\\|")
    given = {"facts": common, "sections": parts}
    return (
        environment.get_template("results.md.j2").render(given),
        environment.get_template("results.html.j2").render(given),
    )


def _data_uri(path: Path) -> str:
    try:
        return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError as error:
        raise RecordError(f"{path}: expected a picture, found {error}; make it with dvc repro") from error


def main() -> None:
    """Write the page."""
    plan = load_plan()
    markdown, html = render(facts(plan), sections(plan), RESULTS)
    write_text(RESULTS / "README.md", markdown)
    write_text(RESULTS / "index.html", html)
    write_text(RESULTS / "metrics.json", json.dumps(headlines(RESULTS), indent=1) + "\n")
    click.echo(f"All tables and figures: {RESULTS / 'README.md'}, {RESULTS / 'index.html'}")


if __name__ == "__main__":
    run_stage(main)
