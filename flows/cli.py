"""The `memnas` command. Heavy libraries are imported by the commands that need them, so that help is quick."""

import json
import os
import sys
from pathlib import Path

import click

from flows.memory_command import memory_command
from memnas_core.errors import MemnasError
from memnas_core.export.model_file import Format
from memnas_core.printable import printable

# Nothing phones home, and Prefect's own log stays quiet: what a person needs to know memnas prints itself.
ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    # The server that Prefect starts when none runs may take longer than its default on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # Prefect's server allows the scripts of every web page; this one is asked by memnas alone, which needs no leave.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}

params_option = click.option(
    "--params", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True, help="Settings file."
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace one setting; may be repeated."
)
name_option = click.option("--name", help="Name of the search; default: the data set's name.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="memnas")
def cli() -> None:
    """Find an image classifier that fits a memory budget."""


@cli.command()
@params_option
@set_option
@click.option("--images", type=click.Path(path_type=Path), help="Search on your own images: a folder of class folders.")
@name_option
@click.option("--resume", is_flag=True, help="Go on with the search of that name if there is one.")
def search(params: Path, overrides: tuple[str, ...], images: Path | None, name: str | None, resume: bool) -> None:
    """Search for classifiers, round by round, and write a report.

    Results land in STORE/searches/NAME. Ctrl-C ends a search; --resume goes on with it.
    """
    if images is not None:
        # A JSON string is a YAML string, whatever characters the path has.
        overrides = (*overrides, "data.dataset=folder", f"data.folder={json.dumps(str(images.resolve()))}")
    from flows.start import plan_search

    plan = plan_search(params, overrides, name, resume)
    if plan.is_finished:
        click.echo(f"This search is finished. Report: {plan.folder.report}")
        return
    click.echo(f"Searching on {plan.name}; results go to {plan.folder.path}. Starting Prefect and the workers ...")
    from flows.guard import guard_this_process
    from flows.interrupt import ending_on_signals

    with ending_on_signals(f"Stopped before the search of {plan.name} began."):
        guard_this_process()
        from flows.prefect_errors import explained
        from flows.search import memnas_search

        with explained():
            memnas_search(str(params), plan.name, resume, list(overrides))


@cli.command()
@params_option
@set_option
@name_option
def report(params: Path, overrides: tuple[str, ...], name: str | None) -> None:
    """Write a search's report.html again, also of a search that is still running or was stopped."""
    from flows.start import find_search
    from memnas_core.result_report import write_report
    from memnas_core.settings_file import load_settings

    _, folder = find_search(load_settings(params, overrides), name)
    click.echo(f"Report: {write_report(folder)}")


@cli.command()
@params_option
@set_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on this machine.")
def ui(params: Path, overrides: tuple[str, ...], port: int) -> None:
    """Browse all candidates in MLflow's pages, on this machine only. Ctrl-C ends it."""
    from memnas_core.settings_file import load_settings
    from tasks.tracking.ui import serve

    settings = load_settings(params, overrides)
    serve(settings.tracking.uri, Path(settings.store), settings.tracking.experiment, port=port)


@cli.command()
@click.argument("target", metavar="SEARCH|CANDIDATE")
@params_option
@set_option
@click.option(
    "--format",
    "wanted",
    type=click.Choice([wanted.value for wanted in Format]),
    required=True,
    help="What kind of file.",
)
@click.option("--int8", is_flag=True, help="Quantise weights and activations to 8 bits, on training images.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the files; default: the search's exports.")
def export(target: str, params: Path, overrides: tuple[str, ...], wanted: str, int8: bool, output: Path | None) -> None:
    """Write a trained network as a file that a runtime executes.

    SEARCH is the name of a finished search, whose chosen network is meant; SEARCH/ID or ID is a trained candidate,
    and the first digits of its id suffice. The file is checked by running it on test images, and a model card lies
    beside it.
    """
    from flows.export_command import export_network
    from memnas_core.settings_file import load_settings

    export_network(load_settings(params, overrides), target, Format(wanted), int8, output)


cli.add_command(memory_command, "memory")


def main() -> None:
    """Run the command line; a `MemnasError` becomes one line and an exit code."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        cli(prog_name="memnas")
    except MemnasError as error:
        click.echo(f"memnas: {printable(str(error))}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
