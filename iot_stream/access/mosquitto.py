"""What mosquitto reads: its configuration, passwords and access rules.

See mosquitto.conf(5) and mosquitto_passwd(1).
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from iot_stream.access.rules import Rule

# mosquitto_passwd's own count. A password of ours is 256 random bits, which no count of iterations protects
# any better, and a fleet that comes back at once must not wait for the broker's one thread.
ITERATIONS = 101
SALT_BYTES = 12
GONE = "# nothing: its pipeline is no more\n"
WRITTEN = """\
# Written by `iot-stream broker-acl`, which overwrites it: its --device, --reader, --sensor make logins.
# Listeners with files of your own stand in your own mosquitto.conf, below `include_dir` of this folder.
"""


def hashed(password: str) -> str:
    """As in a password file: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def passwords(users: Mapping[str, str]) -> str:
    """User → hashed password."""
    return WRITTEN + "".join(f"{user}:{password}\n" for user, password in users.items())


def rules(users: Mapping[str, Sequence[Rule]]) -> str:
    """A block for each user, named in full: no pattern, so no name can be made to match another's."""
    blocks = []
    for user, own in users.items():
        lines = "".join(f"topic {rule.access} {rule.topic}\n" for rule in own)
        blocks.append(f"user {user}\n{lines or GONE}")
    return WRITTEN + "\n" + "\n".join(blocks)


def configuration(common: str, state: str, listeners: Iterable[str]) -> str:
    """`common` is the project's mosquitto.conf; `state` is where the broker keeps what it has, if that is not
    the folder in which it is started."""
    place = f"persistence_location {state.rstrip('/')}/\n" if state else ""
    settings = "".join(line + "\n" for line in common.splitlines() if line and not line.startswith("#"))
    return (
        f"{WRITTEN}# The reasons for these settings stand in iot-stream's own mosquitto.conf.\n"
        f"{settings}{place}\n"
        "# Each listener has users of its own: what logs in at one is nobody at the other.\n"
        "per_listener_settings true\n" + "".join(listeners)
    )


def listener(name: str, port: int, bind: str, at: Path, *, one_connection: bool) -> str:
    """`one_connection`: a user's name is its client id, so that nobody can end the session of another."""
    return (
        f"\nlistener {port} {bind}".rstrip()
        + f"\ncertfile {at}/server.crt\nkeyfile {at}/server.key\nallow_anonymous false\n"
        f"password_file {at}/{name}.passwd\nacl_file {at}/{name}.acl\n"
        + ("use_username_as_clientid true\n" if one_connection else "")
    )
