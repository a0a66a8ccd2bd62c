import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { fillPlaceholders } from "../../../src/model/declarative/fill-placeholders.ts";
import { parseDeclarative } from "../../../src/model/declarative/parse.ts";
import { describeProblem } from "../../../src/model/declarative/parsed.ts";
import { KINDS, pluralOf } from "../../../src/model/kinds.ts";

/** Real files of other people, too many and too foreign to keep in this repository. */
const corpus =
  process.env["HOLDFAST_CORPUS"] ??
  path.join(import.meta.dirname, "../../../../shared/corpus");
const isThere = existsSync(path.join(corpus, "INDEX.tsv"));

interface Accepted {
  readonly entities: number;
  readonly warnings: number;
}

interface Refused {
  readonly problems: number;
  /** The first, without the name of the file. */
  readonly first: string;
}

/** decK lists them in the consumers, and the index counts them there. */
const MEMBERSHIPS = "consumer_group_consumers";

const VERDICTS: Readonly<Record<string, Accepted | Refused>> = {
  "aelf-kong-service.yml": { entities: 65, warnings: 0 },
  "aivo-virtual-brain.yml": {
    problems: 6,
    first:
      '700:25: plugin "file-log": config.custom_fields_by_lua["correlation_id"]: Lua is not run here, so the field cannot be made; take custom_fields_by_lua away',
  },
  "api-erichsen-konnect.yml": { entities: 20, warnings: 1 },
  "dbless-oauth2.yml": { entities: 7, warnings: 1 },
  "deck-cicd-mtls.yml": { entities: 17, warnings: 1 },
  "deck-configuration-11.yml": {
    problems: 5,
    first:
      '49:7: route "fleet-asset-details": paths[0]: in format 1.1 a regular expression has no "~" in front: take it away, or set _format_version to "3.0"',
  },
  "decktest-entities-with-options.yml": { entities: 20, warnings: 0 },
  "digit-core-storm.yml": { entities: 59, warnings: 0 },
  "docker-kong-tracing-tcp.yml": { entities: 8, warnings: 0 },
  "e-cite-ansible.yml": { entities: 34, warnings: 0 },
  "fhir-server-konnect-dump.yml": { entities: 13, warnings: 1 },
  "flowforge.yml": { entities: 73, warnings: 0 },
  "gsa-idva-ingress.yml": {
    problems: 12,
    first:
      '4:5: service "sk-api": host: must be a host name (letters, digits, "-", "_", "."), an IP address or the name of an upstream, got "identity-idva-sk-api-${ENVIRONMENT_NAME}.apps.internal"',
  },
  "healthy-cameras.yml": { entities: 55, warnings: 0 },
  "hr-token-exchange-konnect.yml": { entities: 26, warnings: 1 },
  "kic-consumer-groups.yml": { entities: 7, warnings: 0 },
  "kic-httproute-expressions.yml": { entities: 10, warnings: 0 },
  "kic-udproute.yml": { entities: 3, warnings: 0 },
  "kong-asic-demo-deck.yml": {
    problems: 2,
    first:
      '197:15: plugin "http-log": config.custom_fields_by_lua["streams"]: Lua is not run here, so the field cannot be made; take custom_fields_by_lua away',
  },
  "kong-dbless-sample.json": { entities: 2, warnings: 0 },
  "kong-proxy-docker-certs.yml": { entities: 7, warnings: 0 },
  "kong-vault-proxy-deck.yml": { entities: 27, warnings: 0 },
  "munbon2.yml": {
    problems: 2,
    first:
      "433:5: jwt_secret #1: key: is missing: in a file a credential must have it",
  },
  "node-kong-setup.yml": { entities: 7, warnings: 0 },
  "reconciler-wildcard-host.yml": { entities: 6, warnings: 0 },
  "sahool-unified.yml": { entities: 398, warnings: 0 },
  "smart-clinic-env-urls.yml": {
    problems: 13,
    first:
      '10:10: service "auth-service": url: "$AUTH_SERVICE_URL" is not of the form "protocol://host:port/path"',
  },
  "supabase-docker.yml": { entities: 91, warnings: 0 },
  "supos-db_export.yml": { entities: 128, warnings: 1 },
  "ticketremaster-template.yml": { entities: 50, warnings: 0 },
  "toll-hub.yml": { entities: 49, warnings: 0 },
  "broken/acl-without-consumer-11.yml": {
    problems: 4,
    first: '22:5: acl "anon": consumer: is required',
  },
  "broken/dangling-service-refs-11.yml": {
    problems: 3,
    first:
      '25:9: route "fleet-asset-details": paths[0]: in format 1.1 a regular expression has no "~" in front: take it away, or set _format_version to "3.0"',
  },
  "broken/dup-nested-key-konnect.yml": {
    problems: 8,
    first: "52:1: partials: this kind of entity is not supported yet",
  },
  "broken/dup-toplevel-keys-21.yml": { entities: 3, warnings: 2 },
  "broken/duplicate-service-names-21.yml": {
    problems: 12,
    first:
      '15:5: service "security-service": is declared twice: its name is taken by that at duplicate-service-names-21.yml:5:5 (services[0])',
  },
  "broken/empty-declarative.yml": { entities: 0, warnings: 0 },
  "broken/format-0.1-konnect-legacy.yml": {
    problems: 2,
    first:
      '1:18: _format_version: expected one of "1.1", "2.1", "3.0", got "0.1"',
  },
  "broken/regex-path-without-tilde-30.yml": { entities: 38, warnings: 0 },
  "broken/service-without-host-and-unknown-fields.yml": {
    problems: 3,
    first: '26:5: service "route-communication-ws": host: is required',
  },
  "broken/unknown-plugin-field-21.yml": {
    problems: 1,
    first:
      '159:5: plugin "request-termination": routes: unknown field; did you mean "route"?',
  },
  "broken/unrendered-template.yml": {
    problems: 2,
    first:
      "107:1: not valid YAML: implicit keys need to be on a single line; this looks like a template: render it first",
  },
  "broken/yaml-syntax-error.yml": {
    problems: 3,
    first:
      "317:1: not valid YAML: a block sequence may not be used as an implicit map key",
  },
};

describe.skipIf(!isThere)(
  `files from the wild${isThere ? "" : " (skipped: set HOLDFAST_CORPUS to their folder)"}`,
  () => {
    for (const [file, verdict] of Object.entries(VERDICTS))
      test(`${file} is ${"first" in verdict ? "refused" : "accepted"}`, () => {
        const parsed = parseFile(file);
        const described = parsed.problems.map((problem) =>
          describeProblem(problem).slice(path.basename(file).length + 1),
        );
        if ("first" in verdict)
          expect({ problems: described.length, first: described[0] }).toEqual(
            verdict,
          );
        else
          expect({
            problems: described,
            entities: parsed.entities.length,
            warnings: parsed.warnings.length,
          }).toEqual({ problems: [], ...verdict });
      });

    test("every file has a verdict, and as many entities of each kind as the index counts", () => {
      const rows = isThere ? readIndex() : [];
      expect(rows.map(({ file }) => file).sort()).toEqual(
        Object.keys(VERDICTS).sort(),
      );
      for (const { file, counts } of rows) {
        if (counts.length === 0) continue;
        const { entities } = parseFile(file);
        for (const kind of KINDS) {
          const plural = pluralOf(kind);
          const counted = entities.filter((entity) => entity.kind === kind);
          const expected =
            counts
              .map((count) => count.replace("consumers.groups", MEMBERSHIPS))
              .find((count) => count.startsWith(`${plural}=`)) ?? `${plural}=0`;
          expect(`${file} ${plural}=${counted.length}`).toBe(
            `${file} ${expected}`,
          );
        }
      }
    }, 60_000);
  },
);

function parseFile(file: string) {
  const content = readFileSync(path.join(corpus, file), "utf8");
  const values = { DECK_VAULT_TOKEN: "t" };
  const filled = fillPlaceholders(
    { name: path.basename(file), content },
    { values, shell: false },
  );
  return parseDeclarative([filled.file]);
}

function readIndex(): {
  file: string;
  counts: string[];
}[] {
  const [, ...lines] = readFileSync(path.join(corpus, "INDEX.tsv"), "utf8")
    .trimEnd()
    .split("\n");
  return lines.map((line) => {
    const [set = "", name = "", , , , , , , counts = ""] = line.split("\t");
    return {
      file: set === "broken" ? `broken/${name}` : name,
      counts: counts.split(" ").filter((count) => count !== ""),
    };
  });
}
