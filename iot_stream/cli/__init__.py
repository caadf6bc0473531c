"""The command line: one file a command group, imported when it is called, so that `--help` is fast and
no part loads what it does not use."""

import importlib
import logging
import sys
from typing import Any

import click

from iot_stream import logs
from iot_stream.errors import IotStreamError

# command → module of this package that holds it
COMMANDS = {
    "serve": "parts",
    "collect": "parts",
    "distill": "parts",
    "publish": "parts",
    "metrics": "parts",
    "dashboard": "dashboard",
    "demo": "demo",
    "replay": "replay",
    "bench": "bench",
    "monitor": "monitor",
    "models": "models",
    "rollout": "rollout",
    "export": "export",
    "explain": "explain",
    "windows": "windows",
    "rounds": "rounds",
    "quarantine": "quarantine",
    "exclude": "exclude",
    "pause": "pause",
    "resume": "pause",
    "keys": "keys",
    "broker-acl": "broker_acl",
    "doctor": "doctor",
    "backup": "backup",
    "restore": "backup",
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
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IotStreamError as error:
            logs.tell("iot-stream", str(error), logging.ERROR)
            sys.exit(error.exit_code)
        except OSError as error:
            if error.filename is None:
                raise
            told = f"{error.filename}: {error.strerror}; is it what it should be, may this user write there?"
            logs.tell("iot-stream", told, logging.ERROR)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)


@click.group(
    cls=_Lazy,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong configuration or command line, 3 broker, 4 store, 5 model, "
    "6 data, 130 interrupted.",
)
@click.version_option(package_name="iot-stream")
@click.option("--quiet", is_flag=True, help="Log warnings only.")
@click.option(
    "--log",
    "kind",
    type=click.Choice(logs.KINDS),
    envvar=logs.ENVIRONMENT,
    help="Log lines for people, or one JSON object a line  [default: text, or as IOT_STREAM_LOG says]",
)
def main(quiet: bool, kind: str | None) -> None:
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
    level = logging.WARNING if quiet else logging.INFO
    logs.configure(level, "%(asctime)s %(levelname)s %(message)s", kind or "")
