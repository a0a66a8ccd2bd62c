"""Makes a service and a route in one transaction, waits until the data planes serve it, and prints the revision as
everybody who watches sees it."""

import argparse
import os
import sys

import grpc
from grpc_status import rpc_status

from protos import admin, admin_rpc, duration, error_details


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--admin", default="127.0.0.1:8001", help="host:port of the admin listener")
    parser.add_argument("--ca", help="a file with the authority of its certificate (PEM); without it no TLS")
    parser.add_argument("--host", default="example.com", help="the host that requests go to")
    parser.add_argument("--path", default="/python", help="the path of the requests")
    options = parser.parse_args()

    # A control plane with --admin-token-file wants to know who calls.
    token = os.environ.get("HOLDFAST_TOKEN")
    call = {"timeout": 60, "metadata": [("authorization", f"Bearer {token}")] if token else []}
    with connect(options.admin, options.ca) as channel:
        try:
            change(admin_rpc.ConfigServiceStub(channel), options, call)
        except grpc.RpcError as error:
            explain(error)
            return 1
        except NotServed as error:
            print(error, file=sys.stderr)
            return 1
    return 0


class NotServed(Exception):
    pass


def connect(address: str, ca: str | None) -> grpc.Channel:
    """Over TLS when there is an authority to check the control plane's certificate with."""
    if ca is None:
        return grpc.insecure_channel(address)
    with open(ca, "rb") as file:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()))


def change(config, options: argparse.Namespace, call: dict) -> None:
    # Watching begins before the change is made, so that nothing is missed. The first message says where we are.
    watch = config.Watch(admin.WatchRequest(), **call)
    print(f"at revision {next(watch).heartbeat.revision}")

    request = admin.TransactRequest(author="example", message="A service and its route, from Python")
    service = request.operations.add().put.service
    service.name, service.host = "from-python", options.host
    route = request.operations.add().put.route
    route.name = "from-python"
    route.paths.append(options.path)
    # What comes earlier in a transaction may be referred to by name.
    route.service.name = "from-python"
    done = config.Transact(request, **call)
    print(f"committed revision {done.revision}")
    for warning in done.warnings:
        print(f'  warning: {warning.kind} "{warning.name}": {warning.field}: {warning.message}')
    if not done.changes:
        print("nothing had to change")
        return
    wait(config, done.revision, call)
    follow(watch, done.revision)


def wait(config, revision: int, call: dict) -> None:
    """Follows the progress of a revision until all nodes serve it, or waiting longer does not help."""
    request = admin.WaitForRevisionRequest(revision=revision, timeout=duration.Duration(seconds=30))
    last = admin.WaitForRevisionResponse()
    for last in config.WaitForRevision(request, **call):
        print(f"revision {last.revision} is served by {last.serving} of {last.total} nodes")
    if last.done:
        return
    for node in last.missing:
        print(f"  not by {node.id}: {node.reason or 'on its way'}")
    raise NotServed(f"revision {revision} is committed, and not served everywhere")


def follow(watch, revision: int) -> None:
    """Prints revisions until it has seen the one."""
    for event in watch:
        if not event.HasField("revision"):
            continue  # a heartbeat
        seen = event.revision
        at = seen.revision.cursor.revision
        print(f"saw revision {at} by {seen.revision.author}: {seen.revision.message}")
        for each in seen.changes:
            print(f'  {each.change.action} {each.change.kind} "{each.change.name}"')
        if at >= revision and not seen.more:
            return


def explain(error: grpc.RpcError) -> None:
    """Prints an error with everything that is wrong, not only the first."""
    print(f"{error.code().name}: {error.details()}", file=sys.stderr)
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        request = error_details.BadRequest()
        if detail.Unpack(request):
            for violation in request.field_violations:
                print(f"  {violation.field}: {violation.description}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
