import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import type { Kind } from "../model/kinds.ts";
import { resourceToJson } from "../model/resource-json.ts";

/** A column of a table of resources: its title and what a resource has in it. */
type Column = readonly [title: string, cell: (body: JsonObject) => string];

const field = (title: string, name: string): Column => [
  title,
  (body) => cellText(body[name]),
];
const id = field("ID", "id");
const name = field("NAME", "name");
const tags = field("TAGS", "tags");
const consumer = field("CONSUMER", "consumer");

const COLUMNS: Readonly<Record<Kind, readonly Column[]>> = {
  service: [name, ["URL", serviceUrl], field("ENABLED", "enabled"), tags, id],
  route: [
    name,
    field("PROTOCOLS", "protocols"),
    field("METHODS", "methods"),
    field("HOSTS", "hosts"),
    field("PATHS", "paths"),
    field("SERVICE", "service"),
    id,
  ],
  upstream: [name, field("ALGORITHM", "algorithm"), tags, id],
  target: [
    field("TARGET", "target"),
    field("WEIGHT", "weight"),
    field("UPSTREAM", "upstream"),
    id,
  ],
  consumer: [
    field("USERNAME", "username"),
    field("CUSTOM_ID", "custom_id"),
    tags,
    id,
  ],
  plugin: [
    name,
    field("INSTANCE", "instance_name"),
    ["SCOPE", scope],
    field("ENABLED", "enabled"),
    id,
  ],
  keyauth_credential: [field("KEY", "key"), consumer, id],
  basicauth_credential: [field("USERNAME", "username"), consumer, id],
  jwt_secret: [
    field("KEY", "key"),
    field("ALGORITHM", "algorithm"),
    consumer,
    id,
  ],
  oauth2_credential: [
    name,
    field("CLIENT_ID", "client_id"),
    field("TYPE", "client_type"),
    consumer,
    id,
  ],
  hmacauth_credential: [field("USERNAME", "username"), consumer, id],
  acl: [field("GROUP", "group"), consumer, id],
  consumer_group: [name, tags, id],
  consumer_group_consumer: [
    consumer,
    field("CONSUMER_GROUP", "consumer_group"),
    id,
  ],
  vault: [
    field("PREFIX", "prefix"),
    name,
    field("DESCRIPTION", "description"),
    tags,
    id,
  ],
  certificate: [tags, id],
  sni: [name, field("CERTIFICATE", "certificate"), id],
  ca_certificate: [field("DIGEST", "cert_digest"), tags, id],
};

/** The titles of a table of resources of a kind. */
export function resourceTitles(kind: Kind): string[] {
  return COLUMNS[kind].map(([title]) => title);
}

/** The cells of a resource under {@link resourceTitles}. */
export function resourceRow(kind: Kind, resource: Resource): string[] {
  const body = resourceToJson(resource)[kind];
  const fields = isObject(body) ? body : {};
  return COLUMNS[kind].map(([, cell]) => cell(fields));
}

function serviceUrl(body: JsonObject): string {
  const host = cellText(body["host"]);
  const shown = host.includes(":") ? `[${host}]` : host;
  return `${cellText(body["protocol"])}://${shown}:${cellText(body["port"])}${cellText(body["path"])}`;
}

/** What the plugin is for: `route pay, consumer alice`, or everything. */
function scope(body: JsonObject): string {
  const parts = ["route", "service", "consumer", "consumer_group"]
    .filter((of) => body[of] !== undefined)
    .map((of) => `${of} ${cellText(body[of])}`);
  return parts.length === 0 ? "global" : parts.join(", ");
}

/** A value in a table: lists with commas, references by their name, else their id. */
function cellText(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.map(cellText).join(",");
  if (isObject(value)) return cellText(value["name"] ?? value["id"]);
  return String(value);
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
