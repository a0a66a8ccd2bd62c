import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { fillDefaults, stripInputOutput } from "../../src/model/defaults.ts";
import { checkResource } from "../../src/model/rules.ts";
import { uniqueKeys } from "../../src/model/unique.ts";
import {
  CA_CERT,
  EC_CERT,
  EC_KEY,
  EC_PUBLIC_KEY,
  RSA_CERT,
  RSA_KEY,
} from "./certificates.ts";
import { id, resource } from "./resources.ts";

/** Texts that some reader of YAML takes for something else, or that need care to be written. */
const TRICKY = [
  ...["yes", "No", "ON", "off", "y", "N", "true", "null", "~", "", " ", "="],
  ...["012", "08", "0x1F", "0b11", "1_000", "1:30", "190:20:30", "3.0", "+1"],
  ...["1e3", "1e+21", ".5", "-", ".inf", ".NaN", "2024-01-01", "-1", "12e03"],
  ...["2024-01-01T10:00:00Z", "<<", "*a", "&a", "!t", "%x", "@x", "`x", "? x"],
  ...["- x", "a: b", "a #b", "# a", "x:", ":x", "[a", "{a", "a,b", "'", '"'],
  ...["|", ">", "a\nb", "a\nb\n", "a\n\nb", "\na", " a\nb", "a \nb", "a\n\n"],
  ...["a\n  b", "a\n---\nb", "---", "...", "\t", "\u0000", "\r\n", "\u0085"],
  ...["\u2028", "\ufeff", "\uffff", "\u00a0", "\u{1f600}", "\u{e0001}", "ü"],
  ...["$VAR", "${{ env }}", "{vault://env/x}", "\\", "\\n", "%00", "__proto__"],
];

const anyText = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...TRICKY) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.constantFrom(...TRICKY), { maxLength: 4 })
      .map((parts) => parts.join("")),
  },
  { weight: 1, arbitrary: fc.constant("k".repeat(1200)) },
);

const text = anyText.filter((one) => one !== "");
const tags = fc.uniqueArray(
  text.filter((one) => /^[^,/]+$/.test(one)),
  { maxLength: 3 },
);

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 1e21, 1e-7, 1.5e300, 5e-324, 2 ** 53, 0.1, -12),
);

/** The configuration of a plugin that nobody knows: any JSON. */
const config: fc.Arbitrary<JsonObject> = fc
  .letrec<{ value: JsonValue; object: JsonObject }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constant(null),
      fc.boolean(),
      anyText,
      number,
      fc.array(tie("value"), { maxLength: 3 }),
      tie("object"),
    ),
    object: fc.dictionary(
      anyText.filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 3, noNullPrototype: true },
    ),
  }))
  .object.map((object) => object);

/** Ids of what others refer to. One of them is also the name of something else. */
const SERVICE = id(1);
const NAMED = id(2);
const ROUTE = id(3);
const UPSTREAM = id(4);
const CONSUMER = id(5);
const CERTIFICATE = id(6);
const AUTHORITY = id(7);
const GROUP = id(8);

const service = { id: SERVICE };
const consumer = { id: CONSUMER };

/** What is always there. */
const BASE: readonly Resource[] = stored([
  resource("caCertificate", { id: AUTHORITY, cert: CA_CERT }),
  resource("certificate", {
    id: CERTIFICATE,
    cert: RSA_CERT,
    key: RSA_KEY,
    certAlt: EC_CERT,
    keyAlt: EC_KEY,
  }),
  resource("service", {
    id: SERVICE,
    name: NAMED,
    host: "pay.example",
    protocol: "https",
    clientCertificate: { id: CERTIFICATE },
    caCertificates: [AUTHORITY],
    tlsVerify: false,
    enabled: false,
  }),
  resource("service", { id: NAMED, name: SERVICE, host: "::1" }),
  resource("route", { id: ROUTE, name: "yes", paths: ["/"], service }),
  resource("upstream", { id: UPSTREAM, name: "bank" }),
  resource("consumer", { id: CONSUMER, username: "012" }),
  resource("consumerGroup", { id: GROUP, name: CONSUMER }),
  resource("consumerGroupConsumer", {
    id: id(9),
    consumer,
    consumerGroup: { id: GROUP },
  }),
]);

/**
 * Configurations as a catalog may hold them: valid, unique, complete, in their stored form, and full of texts that are
 * hard to write down.
 */
export const arbitraryConfiguration: fc.Arbitrary<Resource[]> = fc
  .array(
    fc.oneof(
      fc
        .record({ name: text, tags, path: text, retries: fc.nat(9) })
        .map((value) =>
          resource("service", {
            ...value,
            path: `/${value.path}`,
            host: "a.example",
            port: 0,
          }),
        ),
      fc
        .record({ name: text, tags, header: text, priority: fc.nat() })
        .map(({ name, tags, header, priority }) =>
          resource("route", {
            name,
            tags,
            headers: { "x-a": { values: [header] }, 1: { values: ["1"] } },
            regexPriority: priority % 2,
            service: { id: priority % 3 === 0 ? NAMED : SERVICE },
            stripPath: priority % 5 === 0,
          }),
        ),
      fc
        .record({ tags, priority: fc.bigInt(0n, 2n ** 46n - 1n) })
        .map((value) =>
          resource("route", {
            ...value,
            expression: 'http.path == "/a"',
          }),
        ),
      fc.record({ text, tags, number: fc.nat(100) }).map((value) =>
        resource("upstream", {
          name: `u${value.number}`,
          tags: value.tags,
          hashOn: "cookie",
          hashOnCookie: "c",
          hashOnCookiePath: `/${value.text}`,
          healthchecks: {
            threshold: value.number / 7,
            active: {
              timeout: value.number / 3,
              headers: { "X-B": { values: ["", value.text, "yes"] } },
              healthy: { httpStatuses: [200], interval: 1e-7 },
            },
          },
        }),
      ),
      fc.record({ tags, weight: fc.nat(100) }).map((value) =>
        resource("target", {
          ...value,
          upstream: { id: UPSTREAM },
          target: `10.0.0.${value.weight}:80`,
        }),
      ),
      fc
        .record({ username: anyText, customId: anyText, tags })
        .map((value) => resource("consumer", value)),
      fc
        .record({ key: text, ttl: fc.integer({ min: 1, max: 1000 }), tags })
        .map((value) => resource("keyauthCredential", { ...value, consumer })),
      fc.record({ username: text, tags }).map((value) =>
        resource("basicauthCredential", {
          ...value,
          password:
            "$scrypt$ln=14,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
          consumer,
        }),
      ),
      fc
        .record({ key: text, secret: text })
        .map((value) => resource("jwtSecret", { ...value, consumer })),
      fc.record({ key: text }).map((value) =>
        resource("jwtSecret", {
          ...value,
          algorithm: "ES256",
          rsaPublicKey: EC_PUBLIC_KEY,
          consumer,
        }),
      ),
      fc
        .record({ group: text, tags })
        .map((value) => resource("acl", { ...value, consumer })),
      fc
        .record({ name: text, tags })
        .map((value) => resource("consumerGroup", value)),
      fc
        .record({ username: text, secret: text, tags })
        .map((value) => resource("hmacauthCredential", { ...value, consumer })),
      fc
        .record({
          name: text,
          clientId: text,
          clientSecret: text,
          clientType: fc.constantFrom("public", "confidential"),
          tags,
        })
        .map((value) =>
          resource("oauth2Credential", {
            ...value,
            redirectUris: ["https://a.example/back?x=1", "app://b"],
            consumer,
          }),
        ),
      fc
        .record({ number: fc.nat(20), name: text, config, tags })
        .map(({ number, ...value }) =>
          resource("vault", { ...value, prefix: `my-vault-${number}` }),
        ),
      fc.record({ name: text, config }).map((value) =>
        resource("plugin", {
          ...value,
          route: { id: ROUTE },
          consumerGroup: { id: GROUP },
        }),
      ),
      fc.nat(20).map((number) =>
        resource("sni", {
          name: `s${number}.example`,
          certificate: { id: CERTIFICATE },
        }),
      ),
      fc
        .record({ name: text, instanceName: anyText, config, tags })
        .map((value) =>
          resource("plugin", { ...value, service, route: { id: ROUTE } }),
        ),
      fc.record({ headerName: fc.constantFrom("X-Id", "on") }).map((value) =>
        resource("plugin", {
          name: "correlation-id",
          config: { header_name: value.headerName },
          enabled: false,
          consumer,
        }),
      ),
    ),
    { maxLength: 12 },
  )
  .map((more) => [...BASE, ...stored(more, BASE)]);

/** Those in their stored form, with ids, without what breaks a rule or claims what another one has. */
function stored(
  resources: readonly Resource[],
  beside: readonly Resource[] = [],
): Resource[] {
  const keysOf = (one: Resource) => uniqueKeys(one).map(({ key }) => key);
  const claimed = new Set(beside.flatMap(keysOf));
  return resources.flatMap((one, i) => {
    const filled = fillDefaults(one);
    if (filled.kind.value?.id === "") filled.kind.value.id = id(100 + i);
    const keys = keysOf(filled);
    if (checkResource(filled).length > 0) return [];
    if (keys.some((key) => claimed.has(key))) return [];
    for (const key of keys) claimed.add(key);
    return [stripInputOutput(filled)];
  });
}
