"""Stage `table3`: compare controllers on the trained candidates.

Reads `results/candidates.parquet`; writes the runs (`results/controllers.parquet`), Table 3, the learning curve and
their pictures. The protocol is in `experiments.controllers.protocol`. Finished fittings are kept in the store, so that
an interrupted study continues.
"""

from pathlib import Path

from rich.progress import Progress

from experiments.candidates import TABLE
from experiments.controllers.figures import curve_svg, table_svg
from experiments.controllers.protocol import check_cutoffs, load_benchmark
from experiments.controllers.study import run_study, write_runs
from experiments.controllers.table import Runs, curve_rows, rounded, table_rows
from experiments.plan import RESULTS, load_plan
from experiments.stage import run_stage, stage_progress
from experiments.tidy import write_rows
from memnas_core.files.writing import write_text
from memnas_core.settings.schema import Settings
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers

RUNS = "controllers.parquet"
TABLE_3 = "table3.csv"
LEARNING_CURVE = "table3_learning_curve.csv"


def compare(candidates: Path, results: Path, settings: Settings, progress: Progress, workers: Workers) -> None:
    """Run the study on a table of candidates and write all results to a folder."""
    convention = settings.objective.activation_convention
    done = run_study(candidates, settings.controller, convention, Path(settings.store), workers, progress)
    write_runs(results / RUNS, done)
    tables = progress.add_task("intervals", total=None)
    runs = Runs(load_benchmark(convention, candidates), done)
    rows, curve = tuple(table_rows(runs)), tuple(curve_rows(runs))
    write_rows(results / TABLE_3, [rounded(row) for row in rows])
    write_rows(results / LEARNING_CURVE, [rounded(row) for row in curve])
    write_text(results / "figures" / "table3.svg", table_svg(rows))
    write_text(results / "figures" / "table3-learning-curve.svg", curve_svg(curve))
    progress.remove_task(tables)


def main() -> None:
    """Compare the controllers."""
    settings = load_plan().load_settings()
    check_cutoffs(load_benchmark(settings.objective.activation_convention))
    with Workers(cpu_places(settings.execution.workers)) as workers, stage_progress() as progress:
        compare(TABLE, RESULTS, settings, progress, workers)
    progress.console.print(f"Table 3: {RESULTS / TABLE_3}")


if __name__ == "__main__":
    run_stage(main)
