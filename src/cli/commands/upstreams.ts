import { create } from "@bufbuild/protobuf";
import {
  ListUpstreamHealthResponseSchema,
  type AddressHealth,
  type UpstreamHealth,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { EXIT, Failure } from "../io.ts";
import { json, writeValue } from "../output.ts";
import { table } from "../table.ts";

/** `holdfast upstreams` */
export const upstreams = command({
  name: "upstreams",
  summary: "Show how the targets of upstreams are doing",
  argsUsage: "[NAME]",
  argsCount: { min: 0, max: 1 },
  help: [
    "Each address of each target, with the number of connected data planes that see it healthy, unhealthy, or cannot resolve the target's name (DNS ERROR). OFF counts those that do not judge it: its upstream has no health checks. NODES are those that see something wrong.",
    "A data plane says this every 10 s, when it has changed.",
  ],
  examples: [
    ["holdfast upstreams", "All upstreams that data planes serve"],
    ["holdfast upstreams backend.internal", "One of them"],
  ],
  flags: clientFlags,
  async run({ io }, flags, [name]) {
    return withClient(io, flags, async (client) => {
      const { found, incompleteNodes } = await healthOf(client, name ?? "");
      if (name !== undefined && found.length === 0)
        throw new Failure(
          `no connected data plane has told of an upstream "${name}". "holdfast upstreams" shows those that are known, "holdfast get upstream" those that are configured.`,
        );
      if (flags.output === "table")
        io.stdout.write(upstreamsTable(found, io.stdout));
      else
        writeValue(
          io.stdout,
          flags.output,
          json(
            ListUpstreamHealthResponseSchema,
            create(ListUpstreamHealthResponseSchema, {
              upstreams: [...found],
              incompleteNodes,
            }),
          ),
        );
      if (incompleteNodes > 0)
        io.stderr.write(
          `${incompleteNodes} data planes have more targets than they can tell of; what they leave out is healthy before anything else\n`,
        );
      return EXIT.done;
    });
  },
});

/** Reads all pages. */
async function healthOf(
  { nodes, workspace, call }: ControlPlaneClient,
  upstream: string,
): Promise<{
  readonly found: readonly UpstreamHealth[];
  readonly incompleteNodes: number;
}> {
  const found: UpstreamHealth[] = [];
  let pageToken = "";
  for (;;) {
    const page = await nodes.listUpstreamHealth(
      { workspace, upstream, pageToken },
      call,
    );
    for (const one of page.upstreams) found.push(one);
    pageToken = page.nextPageToken;
    if (pageToken === "")
      return { found, incompleteNodes: page.incompleteNodes };
  }
}

function upstreamsTable(
  found: readonly UpstreamHealth[],
  out: Parameters<typeof table>[2],
): string {
  return table(
    [
      "UPSTREAM",
      "TARGET",
      "ADDRESS",
      "HEALTHY",
      "UNHEALTHY",
      "DNS ERROR",
      "OFF",
      "NODES",
    ],
    found.flatMap(({ upstream, addresses }) =>
      addresses.map((address) => [upstream, ...cellsOf(address)]),
    ),
    out,
  );
}

function cellsOf(one: AddressHealth): string[] {
  const { healthy, unhealthy, dnsError, off, nodes } = one;
  const more = unhealthy + dnsError - nodes.length;
  return [
    one.target,
    one.address,
    ...[healthy, unhealthy, dnsError, off].map(String),
    nodes.join(",") + (more > 0 ? ` and ${more} more` : ""),
  ];
}
