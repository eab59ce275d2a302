"""The `memnas` command. Heavy libraries are imported by the commands that need them, so that help is quick."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from click.core import ParameterSource

from flows.init_command import init_command
from flows.memory.command import memory_command
from flows.terminal import EscapingGroup, escape_logs, say
from flows.verify_command import verify_command
from memnas_core.errors import InputError, MemnasError, OutputError
from memnas_core.export.file_format import FORMATS
from memnas_core.files.printable import printable
from memnas_core.settings.presets import PRESETS, preset_file
from memnas_core.workers.spawning import SAFE_PATH

# What a search prints is in the logs of its runs too. prefect.yaml says the same to runs of a deployment.
RUN_LOGS = {"PREFECT_LOGGING_EXTRA_LOGGERS": "tasks.display", "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore"}

# Prefect's own log is silent: memnas itself prints what users need to know.
ENVIRONMENT = {
    **SAFE_PATH,
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    **RUN_LOGS,
    # By default Prefect's server answers scripts of any web page; memnas, the only client, does not need that.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
}

params_option = click.option(
    "--params", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True, help="Settings file."
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace one setting; may be repeated."
)
name_option = click.option("--name", help="Name of the search; default: the data set's name.")


@click.group(cls=EscapingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="memnas")
def cli() -> None:
    """Find an image classifier that fits a memory budget."""


@cli.command()
@params_option
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Settings that come with memnas, instead of a file.")
@set_option
@click.option("--images", type=click.Path(path_type=Path), help="Search on your own images: a folder of class folders.")
@name_option
@click.option("--resume", is_flag=True, help="Go on with the search of that name if there is one.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out images of the folder that cannot be read.")
@click.option("--plan", "plan_only", is_flag=True, help="Say how long the search takes, and stop.")
@click.pass_context
def search(
    context: click.Context,
    params: Path,
    preset: str | None,
    overrides: tuple[str, ...],
    images: Path | None,
    name: str | None,
    resume: bool,
    skip_unreadable: bool,
    plan_only: bool,
) -> None:
    """Search for classifiers, round by round, and write a report.

    Results land in STORE/searches/NAME. Ctrl-C ends a search; --resume goes on with it. With --images and without
    --params or --preset, the settings are those that `memnas init` proposes. Without any of them and without a
    params.yaml, they are the preset digits.
    """
    from flows.start import plan_search

    is_default = context.get_parameter_source("params") is ParameterSource.DEFAULT
    if preset is not None and not is_default:
        raise InputError(f"--preset {preset}: expected either --preset or --params, found both; leave one out")
    if preset is None and is_default and images is None and not params.exists():
        preset = default_preset(overrides, name, resume)
    if preset is not None:
        params, is_default = preset_file(preset), False
    if skip_unreadable:
        overrides = (*overrides, "data.skip_unreadable=true")
    with ExitStack() as stack:
        kept = None
        if images is not None:
            images = images.expanduser().resolve()
            # A JSON string is a YAML string, whatever characters the path has.
            overrides = (*overrides, "data.dataset=folder", f"data.folder={json.dumps(str(images))}")
            if is_default:
                from flows.proposed import kept_params, proposed_params

                kept = kept_params(images, overrides, name)
                params = stack.enter_context(proposed_params(images, overrides, name, resume))
        plan = plan_search(params, overrides, name, resume)
        if plan.is_finished:
            from flows.record import log_lost_search

            if log_lost_search(plan):
                say("MLflow lacked this search; it is logged again.")
            say(f"This search is finished. Report: {plan.folder.report}")
            return
        from flows.images import prepare_images

        prepare_images(plan.settings, plan.origin)
        if kept is not None and not plan_only:
            from flows.proposed import keep

            params = keep(params, kept)
            say(f"Settings that follow from the images: {params}.")
    from flows.guard import guard_this_process
    from flows.interrupt import ending_on_signals

    if plan_only:
        say(f"Timing the first networks of {plan.name} ...")
    else:
        say(f"Searching on {plan.name}; results go to {plan.folder.path}. Starting Prefect and the workers ...")
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a search has sockets, too, and its children have to be ended
    with ending_on_signals(f"Stopped before the search of {plan.name} began."):
        guard_this_process()
        if plan_only:
            from flows.expected import say_plan

            say_plan(plan)
            return
        from flows.prefect_errors import explained
        from flows.prefect_server import prefect_server

        with explained(), prefect_server(Path(plan.settings.store)):
            from flows.changes import as_changes
            from flows.search import memnas_search

            memnas_search(str(params), plan.name, resume, as_changes(overrides))


def default_preset(overrides: Sequence[str], name: str | None, resume: bool) -> str | None:
    """Return the preset of a search that is told no settings: digits, unless it would go on with another search.

    Args:
        overrides: `section.key=value` strings; `store` decides where searches are.
        name: Name of the search; None: digits.
        resume: Whether a search of that name goes on.
    """
    from memnas_core.settings.file import overridden

    begun = Path(str(overridden(overrides, "store") or "store"), "searches", name or "digits")
    if resume and not begun.exists():
        return None
    say("No params.yaml here: taking the preset digits.")
    return "digits"


@cli.command()
@params_option
@set_option
@name_option
@click.pass_context
def report(context: click.Context, params: Path, overrides: tuple[str, ...], name: str | None) -> None:
    """Write a search's report.html again, also of a search that is still running or was stopped."""
    from flows.found_settings import found_settings
    from memnas_core.results.beginning import find_search
    from memnas_core.results.report import write_report

    settings, searches = found_settings(context, params, overrides, name)
    if name is None and searches:
        if len(searches) > 1:
            raise InputError(f"{settings.store}: expected one search, found {', '.join(searches)}; choose with --name")
        (name,) = searches
    _, folder = find_search(settings, name)
    say(f"Report: {write_report(folder)}")


@cli.command()
@params_option
@set_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on this machine.")
@click.pass_context
def ui(context: click.Context, params: Path, overrides: tuple[str, ...], port: int) -> None:
    """Browse all candidates in MLflow's pages, on this machine only. Ctrl-C ends it."""
    from flows.found_settings import found_settings
    from tasks.tracking.ui import serve

    settings, _ = found_settings(context, params, overrides)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # its server has to be ended
    serve(settings.tracking.uri, Path(settings.store), settings.tracking.experiment, port=port)


@cli.command()
@click.argument("target", metavar="SEARCH|CANDIDATE")
@params_option
@set_option
@click.option(
    "--format",
    "wanted",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="What kind of file.",
)
@click.option("--int8", is_flag=True, help="Quantise weights and activations to 8 bits, on training images.")
@click.option(
    "--target",
    "core",
    metavar="CORE",
    help="Processor core for --format executorch --int8, such as cortex-m4; default: the device's, or cortex-m7.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the files; default: the search's exports.")
@click.option("--verify", is_flag=True, help="Run --format c on emulated microcontrollers (make device).")
@click.pass_context
def export(
    context: click.Context,
    target: str,
    params: Path,
    overrides: tuple[str, ...],
    wanted: str,
    int8: bool,
    core: str | None,
    output: Path | None,
    verify: bool,
) -> None:
    """Write a trained network as a file that a runtime executes.

    SEARCH is the name of a finished search, whose chosen network is meant; SEARCH/ID or ID is a trained candidate,
    and the first digits of its id suffice. The file is checked by running it on test images, and a model card lies
    beside it.
    """
    from flows.export_command import export_network
    from flows.found_settings import found_settings

    export_network(found_settings(context, params, overrides)[0], target, wanted, int8, core, output, verify)


@cli.command()
@click.argument("target", metavar="SEARCH|CANDIDATE")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@params_option
@set_option
@click.option("--store", type=click.Path(path_type=Path), help="Folder of the store; then no settings file is read.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with the scores of all classes.")
@click.pass_context
def predict(
    context: click.Context,
    target: str,
    images: tuple[Path, ...],
    params: Path,
    overrides: tuple[str, ...],
    store: Path | None,
    as_json: bool,
) -> None:
    """Print the class of each image and its score, by a trained network.

    SEARCH is the name of a finished search, whose chosen network is meant; SEARCH/ID or ID is a trained candidate.
    Images may have any size: they are turned, cut and resized as those of the search were. Scores of all classes add
    up to 1.
    """
    from flows.found_settings import found_settings
    from flows.predict_command import predict_images

    predict_images(store or Path(found_settings(context, params, overrides)[0].store), target, images, as_json)


cli.add_command(init_command, "init")
cli.add_command(memory_command, "memory")
cli.add_command(verify_command, "verify")


@contextmanager
def ending_with_the_reader() -> Iterator[None]:
    """Let a closed pipe end this process silently, as it does with other commands; Python itself would go on."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)


def main() -> None:
    """Run the command line; a `MemnasError` becomes one line and an exit code."""
    for name, value in ENVIRONMENT.items():
        os.environ[name] = os.environ.get(name) or value
    escape_logs()
    try:
        with ending_with_the_reader():
            cli(prog_name="memnas")
    except MemnasError as error:
        if isinstance(error, OutputError):  # what was not written yet would fail again as Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        click.echo(f"memnas: {printable(str(error))}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
