import { Code, ConnectError } from "@connectrpc/connect";
import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { ListRequestSchema } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { isUuid } from "../../model/ids.ts";
import type { Kind } from "../../model/kinds.ts";
import { resourceToJson } from "../../model/resource-json.ts";
import { kindArgument, resourceKey } from "../argument.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { list, optional, toggle } from "../flags.ts";
import { EXIT } from "../io.ts";
import { writeValue, yaml } from "../output.ts";
import { nameReferences } from "../reference-names.ts";
import { resourceRow, resourceTitles } from "../resource-columns.ts";
import { table } from "../table.ts";
import { text } from "../value-types.ts";

/** The largest page that List gives. */
const PAGE_SIZE = 1000;

/** `holdfast get` */
export const get = command({
  name: "get",
  summary: "Show the resources of a kind, or one resource",
  argsUsage: "KIND [ID|NAME]",
  argsCount: { min: 1, max: 2 },
  help: [
    "Kinds are service, route, upstream, target, consumer, plugin, keyauth_credential, basicauth_credential, jwt_secret, acl, oauth2_credential, hmacauth_credential, consumer_group, consumer_group_consumer, vault, certificate, sni and ca_certificate; the plural is as good. A name is the key of the kind: a consumer's username, a target's host and port.",
    "Secrets (API keys, passwords, private keys) are shown as *** unless --secrets is given.",
    'With -o json one resource is printed as it can be put again, and a list as {"resources": […]}.',
  ],
  examples: [
    ["holdfast get routes", "All routes"],
    ["holdfast get service echo", "One service with all its fields"],
    ["holdfast get routes --of service/echo", "The routes of a service"],
    [
      "holdfast get consumers --tag team-a -o json",
      "Consumers with a tag, for a program",
    ],
  ],
  flags: {
    tag: list(text("TAG"), {
      summary: "Only resources that have this tag; given twice, both.",
    }),
    anyTag: list(text("TAG"), {
      summary: "Only resources that have one of the tags given so.",
    }),
    namePrefix: optional(text("TEXT"), {
      summary: "Only resources whose name begins with this.",
    }),
    of: optional(resourceKey, {
      summary: "Only resources that refer to this one.",
    }),
    secrets: toggle({ summary: "Show secrets in clear." }),
    ...clientFlags,
  },
  async run({ io }, flags, [word = "", idOrName]) {
    const kind = kindArgument(word);
    const { secrets } = flags;
    return withClient(io, flags, async (client) => {
      if (idOrName !== undefined) {
        const found = resourceToJson(
          await getOne(client, kind, idOrName, secrets),
        );
        if (flags.output === "table")
          io.stdout.write(yaml(Object.values(found)[0] ?? {}));
        else writeValue(io.stdout, flags.output, found);
        return EXIT.done;
      }
      const resources = await listAll(client, {
        kind,
        tags: [...flags.tag],
        anyTags: [...flags.anyTag],
        namePrefix: flags.namePrefix ?? "",
        ...(flags.of === undefined ? {} : { refersTo: flags.of }),
        includeSecrets: secrets,
      });
      if (flags.output === "table") {
        await nameReferences(client, resources);
        const rows = resources.map((resource) => resourceRow(kind, resource));
        io.stdout.write(table(resourceTitles(kind), rows, io.stdout));
      } else {
        const answer: JsonObject = { resources: resources.map(resourceToJson) };
        writeValue(io.stdout, flags.output, answer);
      }
      return EXIT.done;
    });
  },
});

/** Reads one resource. What looks like an id may be a name after all. */
async function getOne(
  client: ControlPlaneClient,
  kind: Kind,
  idOrName: string,
  includeSecrets: boolean,
): Promise<Resource> {
  const { workspace } = client;
  const by = async (by: { case: "id" | "name"; value: string }) => {
    const answer = await client.config.get(
      { workspace, kind, by, includeSecrets },
      client.call,
    );
    if (answer.resource === undefined)
      throw new ConnectError("the answer has no resource", Code.DataLoss);
    return answer.resource;
  };
  if (!isUuid(idOrName)) return by({ case: "name", value: idOrName });
  try {
    return await by({ case: "id", value: idOrName });
  } catch (error) {
    if (ConnectError.from(error).code !== Code.NotFound) throw error;
    return await by({ case: "name", value: idOrName }).catch(() => {
      throw error;
    });
  }
}

async function listAll(
  client: ControlPlaneClient,
  conditions: MessageInitShape<typeof ListRequestSchema>,
): Promise<Resource[]> {
  const { workspace } = client;
  const all: Resource[] = [];
  let pageToken = "";
  do {
    const page = await client.config.list(
      { ...conditions, workspace, pageSize: PAGE_SIZE, pageToken },
      client.call,
    );
    for (const resource of page.resources) all.push(resource);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}
