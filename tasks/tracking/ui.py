"""MLflow's pages, opened at the table of candidates."""

import signal
from pathlib import Path

import click

from memnas_core.errors import InputError
from tasks.tracking.location import DATABASE, check_record
from tasks.tracking.store import UiServer, check_port, is_server
from tasks.tracking.tracker import Tracker

SERVER_LOG = "mlflow-server.log"


def serve(uri: str | None, store: Path, experiment: str, port: int, host: str = "127.0.0.1") -> None:
    """Show the table of candidates in MLflow's pages until Ctrl-C or SIGTERM.

    Args:
        uri: MLflow tracking URI; None for the SQLite file in the store. For a server only the address is shown.
        store: The store.
        experiment: Name of the experiment.
        port: Port to listen on.
        host: Address to listen on.

    Raises:
        InputError: There is no record yet, or the port is taken.
        TrackingError: The record cannot be opened, or the server does not start.
    """
    if uri is None and not (store / DATABASE).is_file():
        raise InputError(
            f"{store / DATABASE}: expected the record of a search, found none; run memnas search, with --resume where "
            "one is finished"
        )
    if uri is None or not is_server(uri):
        check_port(host, port)  # checked before seconds are spent on the record
    check_record(uri, store, experiment)
    tracker = Tracker.connect(uri, store, experiment)
    if is_server(tracker.uri):
        click.echo(f"Candidates: {tracker.table_url()}")
        return
    click.echo("Starting MLflow's server ...")
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with UiServer(tracker.uri, store / SERVER_LOG, host, port) as server:
            click.echo(f"Candidates: {tracker.table_url(server.address)}\nCtrl-C ends the server.")
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
