"""Follows a control plane as a node of its own, and prints the routes that it would serve."""

import argparse
import logging
from pathlib import Path

import grpc

from node import Node
from protos import resource
from state import State


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control-plane", default="127.0.0.1:8005", help="host:port of the sync listener")
    parser.add_argument("--node-id", default="example-python", help="unique in the workspace")
    parser.add_argument("--workspace", default="default")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="where the state is kept")
    parser.add_argument("--cert", type=Path, help="this node's certificate; without it the link is in clear text")
    parser.add_argument("--key", type=Path, help="its private key")
    parser.add_argument("--ca", type=Path, help="the certificates of who signs control planes")
    options = parser.parse_args()
    logging.basicConfig(format="%(name)s: %(message)s")

    node = Node(options.node_id, options.workspace, options.data_dir, print_routes)
    with connect(options) as channel:
        try:
            node.run(channel)
        except KeyboardInterrupt:
            pass


def connect(options: argparse.Namespace) -> grpc.Channel:
    """Mutual TLS by files as "holdfast cert" makes them; or none, which a control plane allows on loopback only."""
    if not (options.cert or options.key or options.ca):
        return grpc.insecure_channel(options.control_plane)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=options.ca.read_bytes(),
        private_key=options.key.read_bytes(),
        certificate_chain=options.cert.read_bytes(),
    )
    return grpc.secure_channel(options.control_plane, credentials)


def print_routes(cursor, state: State) -> None:
    """What a real data plane would compile a router from."""
    services, routes = {}, []
    for _, value in state.entries():
        read = resource.Resource.FromString(value)
        if read.HasField("service"):
            services[read.service.id] = read.service
        elif read.HasField("route"):
            routes.append(read.route)
    lines = [f"revision {cursor.revision}, root {cursor.root}, {len(state)} entries"]
    for route in sorted(routes, key=lambda route: (route.name, route.id)):
        service = services.get(route.service.id)
        target = (
            "no service"
            if service is None
            else f"{service.protocol}://{service.host}:{service.port}{service.path}"
        )
        matches = " ".join([*route.methods, *route.hosts, *route.paths])
        lines.append(f"  route {route.name}: {matches} -> {target}")
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
