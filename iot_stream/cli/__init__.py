"""The command line: one file a command group, imported when it is called, so that `--help` is fast and
no part loads what it does not use."""

import importlib
import logging
import sys
from typing import Any

import click

from iot_stream.errors import IotStreamError

# command → module of this package that holds it
COMMANDS = {
    "serve": "parts",
    "collect": "parts",
    "distill": "parts",
    "publish": "parts",
    "demo": "demo",
    "replay": "replay",
    "bench": "bench",
    "monitor": "monitor",
    "models": "models",
    "explain": "explain",
    "windows": "windows",
    "quarantine": "quarantine",
    "exclude": "exclude",
    "pause": "pause",
    "resume": "pause",
    "keys": "keys",
    "device": "device",
    "config": "config",
    "discover": "discover",
    "init": "init",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"iot_stream.cli.{COMMANDS[name]}")
        command: click.Command = getattr(module, name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IotStreamError as error:
            click.echo(f"iot-stream: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)


@click.group(
    cls=_Lazy,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong configuration or command line, 3 broker, 4 store, 5 model, "
    "6 data, 130 interrupted.",
)
@click.version_option(package_name="iot-stream")
@click.option("--quiet", is_flag=True, help="Log warnings only.")
def main(quiet: bool) -> None:
    """Keeps the small model on every device as good as the big model in the cloud.

    \b
    See it work:        iot-stream demo
    With your sensors:  iot-stream init --config my.yml
                        iot-stream config check --config my.yml
                        iot-stream keys init --config my.yml
                        iot-stream serve --config my.yml
                        iot-stream device add pump-01 --config my.yml > pump-01.json
                        iot-stream monitor --config my.yml
    """
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
