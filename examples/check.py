"""A service in Python that asks before it acts: the unary check over mutual TLS.

    pip install grpcio grpcio-tools
    export COUNTERSIGN_ADDR=https://broker.northwind.example:7443
    export COUNTERSIGN_CA=authority.pem COUNTERSIGN_CERT=tls.pem COUNTERSIGN_KEY=tls.key
    python examples/check.py ana db.read prod/eu/db/orders/primary

Exits 0 if it is allowed, 3 if not, 8 if nobody could say: whoever guards something takes that as a deny.
"""

import os
import sys
import time
from datetime import timezone
from pathlib import Path

import grpc

# The stubs are made of the .proto files as they are. To ship them instead, run once:
#   python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/countersign/v1/*.proto
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "proto"))
messages, services = grpc.protos_and_services("countersign/v1/access_service.proto")
check = grpc.protos("countersign/v1/check.proto")

TIMEOUT_SECONDS = 2


class Checker:
    """Asks a broker. Keep one for the whole process: it holds one connection, and is safe to share between threads."""

    def __init__(self, address, authority, certificate, key):
        def read(path):
            return Path(path).read_bytes()

        credentials = grpc.ssl_channel_credentials(read(authority), read(key), read(certificate))
        self._channel = grpc.secure_channel(address.removeprefix("https://"), credentials)
        self._access = services.AccessServiceStub(self._channel)

    def ask(self, subject, action, resource):
        """The answer. Raises grpc.RpcError if it could not be decided: a deny, for whoever guards something."""
        question = messages.CheckAccessRequest(subject=subject, action=action, resource=resource)
        return self._access.CheckAccess(question, timeout=TIMEOUT_SECONDS)

    def is_allowed(self, subject, action, resource):
        """Whether it may be done now. Everything but a plain ALLOW is a deny, an error too."""
        asked = now()
        try:
            return allows(self.ask(subject, action, resource), asked)
        except grpc.RpcError:
            return False

    def close(self):
        self._channel.close()


def now():
    """Seconds of a clock that goes on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def allows(answer, asked):
    """ALLOW, for a reason that allows: a value that this program does not know is none of that. `asked` is the time of
    `now()` before the question was sent: an answer that took longer than the grant had left allows nothing any more."""
    reasons = (check.CHECK_REASON_GRANTED, check.CHECK_REASON_BASELINE)
    if answer.verdict != check.VERDICT_ALLOW or answer.reason not in reasons:
        return False
    if not answer.HasField("valid_until"):
        return True
    left = answer.valid_until.ToNanoseconds() - answer.time.ToNanoseconds()
    return answer.HasField("time") and (now() - asked) * 1e9 < left


def main(words):
    if len(words) != 3:
        print("usage: check.py SUBJECT ACTION RESOURCE", file=sys.stderr)
        return 2
    place = [os.environ[f"COUNTERSIGN_{name}"] for name in ("ADDR", "CA", "CERT", "KEY")]
    checker = Checker(*place)
    asked = now()
    try:
        answer = checker.ask(*words)
    except grpc.RpcError as error:
        print(f"no answer, so deny: {error.code().name}: {error.details()}", file=sys.stderr)
        return 8
    finally:
        checker.close()
    reason = check.CheckReason.Name(answer.reason).removeprefix("CHECK_REASON_")
    if not allows(answer, asked):
        print(f"deny {reason}")
        return 3
    until = "no end of its own"
    if answer.HasField("valid_until"):
        # Stop at this very instant, or ask again before it.
        until = answer.valid_until.ToDatetime(tzinfo=timezone.utc).isoformat(timespec="milliseconds")
    print(f"allow {reason} {answer.grant_id or '-'} until {until}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
