import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { command } from "../command.ts";
import { flag, list, optional } from "../flags.ts";
import { EXIT, Failure, UsageError, type Io, type Output } from "../io.ts";
import { FORMATS, writeValue } from "../output.ts";
import { printable, table } from "../table.ts";
import { httpUrl, oneOf, text } from "../value-types.ts";

const TIMEOUT_MS = 30_000;

/** `holdfast dp explain` */
export const dpExplain = command({
  name: "dp explain",
  summary: "Show what a data plane would do with a request, and why",
  argsUsage: "METHOD URL",
  argsCount: { min: 2, max: 2 },
  help: [
    "Asks a running data plane, on its status address, which route, plugins and target a request would get with the configuration it serves. Nothing is sent upstream, and no balancer moves on. URL has a host, or is a path that goes with -H 'Host: …'.",
    "Other routes that come near are listed with what the request lacks to meet them, or with what puts them behind. Who sends a request is only known when it is authenticated: with --consumer the plugins are those once it is, with those for that consumer and its groups in the place of others; without, such plugins are left out.",
  ],
  examples: [
    ["holdfast dp explain GET http://shop.example/cart", "Which route is it?"],
    [
      "holdfast dp explain POST /cart -H 'Host: shop.example' -H 'X-Version: 2' -o json",
      "With headers, for programs",
    ],
    [
      "holdfast dp explain GET http://shop.example/cart --consumer alice",
      "Which plugins does alice get?",
    ],
  ],
  flags: {
    header: list(text("'NAME: VALUE'"), {
      summary: "A header of the request.",
      short: "H",
    }),
    consumer: optional(text("NAME|ID"), {
      summary: "The username or id of the consumer who sends it.",
    }),
    status: flag(httpUrl, {
      summary: "The status address of the data plane.",
      default: "http://127.0.0.1:8007",
    }),
    output: flag(oneOf(FORMATS), {
      summary: "How the answer is printed: for people, or for programs.",
      short: "o",
      default: "table",
    }),
  },
  async run(
    { io },
    { header, consumer, status, output },
    [method = "", url = ""],
  ) {
    const headers = header.map(readHeader);
    const answer = await ask(io, status, {
      method,
      url,
      headers,
      ...(consumer === undefined ? {} : { consumer }),
    });
    if (output === "table") io.stdout.write(describe(answer, io.stdout));
    else writeValue(io.stdout, output, answer);
    return EXIT.done;
  },
});

function readHeader(given: string): [string, string] {
  const colon = given.indexOf(":");
  if (colon <= 0)
    throw new UsageError([
      `--header "${given}" is no header, such as 'Accept: text/html'`,
    ]);
  return [given.slice(0, colon).trim(), given.slice(colon + 1).trim()];
}

async function ask(
  io: Io,
  status: string,
  question: JsonObject,
): Promise<JsonObject> {
  const address = `${status}/status/explain`;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(address, {
      method: "POST",
      body: JSON.stringify(question),
      signal: AbortSignal.any([io.stop, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    body = await response.json().catch(() => undefined);
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    throw new Failure(
      `no answer from a data plane at ${status}: ${cause instanceof Error ? cause.message : String(cause)}. --status is the address that it says at the start, as "status"`,
      { cause: error },
    );
  }
  const answer = isObject(body) ? body : {};
  if (response.ok) return answer;
  throw new Failure(
    `the data plane at ${status} answered ${response.status}: ${wordOf(answer["message"]) || "without a word"}`,
  );
}

/** An explanation for people. */
function describe(answer: JsonObject, out: Output): string {
  const route = objectIn(answer["route"]);
  const service = objectIn(answer["service"]);
  const target = objectIn(answer["target"]);
  const consumer = objectIn(answer["consumer"]);
  const groups = listIn(consumer["groups"]).map((group) =>
    wordOf(objectIn(group)["name"]),
  );
  const facts: [string, string][] = [
    ["revision", wordOf(answer["revision"])],
    ["outcome", outcomeText(objectIn(answer["outcome"]))],
    ["route", nameText(route)],
    ...listIn(route["met"]).map((met): [string, string] => ["", wordOf(met)]),
    ["service", nameText(service)],
    ...(consumer["id"] === undefined
      ? []
      : ([
          ["consumer", nameText(consumer)],
          ["", groups.length === 0 ? "" : `in ${groups.join(", ")}`],
        ] satisfies [string, string][])),
    ...(answer["target"] === null || answer["target"] === undefined
      ? []
      : ([
          ["target", wordOf(target["address"]) || "-"],
          ["", wordOf(target["why"])],
          ["path", wordOf(target["path"])],
          ["host", wordOf(target["host"])],
        ] satisfies [string, string][])),
  ];
  return [
    facts
      .map(([name, fact]) => `${name.padEnd(10)}${printable(fact)}`.trimEnd())
      .join("\n"),
    "\n",
    section(
      out,
      "Targets",
      ["TARGET", "ADDRESS", "WEIGHT", "STATE"],
      target["candidates"],
      ["target", "address", "weight", "state"],
    ),
    section(
      out,
      "Plugins, in order",
      ["PLUGIN", "SCOPE", "PRIORITY", "ID"],
      answer["plugins"],
      ["name", "scope", "priority", "id"],
    ),
    others(out, answer["considered"]),
  ].join("");
}

function section(
  out: Output,
  title: string,
  titles: readonly string[],
  value: JsonValue | undefined,
  fields: readonly string[],
): string {
  const rows = listIn(value).map((row) =>
    fields.map((field) => wordOf(objectIn(row)[field]) || "-"),
  );
  return rows.length === 0 ? "" : `\n${title}:\n${table(titles, rows, out)}`;
}

function others(out: Output, value: JsonValue | undefined): string {
  const rows = listIn(value).map((each) => {
    const one = objectIn(each);
    const lacks = listIn(one["lacks"]).map(wordOf).join("; ");
    return [
      nameText(one),
      lacks === "" ? `met too, but behind: ${wordOf(one["behind"])}` : lacks,
    ];
  });
  return rows.length === 0
    ? ""
    : `\nOther routes:\n${table(["ROUTE", "WHY NOT"], rows, out)}`;
}

function outcomeText(outcome: JsonObject): string {
  return outcome["by"] === "gateway"
    ? `${wordOf(outcome["status"])} from the data plane itself: ${wordOf(outcome["message"])}`
    : `goes upstream, ${wordOf(outcome["note"])}`;
}

function nameText(one: JsonObject): string {
  const [id, name] = [wordOf(one["id"]), wordOf(one["name"])];
  if (id === "") return "none";
  return name === "" ? id : `${name} (${id})`;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectIn(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function listIn(value: JsonValue | undefined): JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function wordOf(value: JsonValue | undefined): string {
  return typeof value === "string"
    ? value
    : typeof value === "number"
      ? String(value)
      : "";
}
