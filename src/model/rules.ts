import { create } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../gen/holdfast/config/v1/resource_pb.js";
import { encodeResource } from "./encode.ts";
import { fillDefaults } from "./defaults.ts";
import { KINDS, kindOfResource, schemaOf } from "./kinds.ts";
import { idOf, reflectKind } from "./messages.ts";
import type { Problem } from "./problem.ts";
import {
  caCertificateProblems,
  certificateProblems,
} from "./rules/certificate.ts";
import { fieldProblems } from "./rules/field-rules.ts";
import { formProblems } from "./rules/form.ts";
import { jwtSecretProblems } from "./rules/jwt-secret.ts";
import { oauth2CredentialProblems } from "./rules/oauth2-credential.ts";
import { pluginProblems } from "./rules/plugin.ts";
import { routeProblems, serverNameProblems } from "./rules/route.ts";
import { serviceProblems } from "./rules/service.ts";
import { targetProblems } from "./rules/target.ts";
import { upstreamProblems } from "./rules/upstream.ts";
import { resourceToJson } from "./resource-json.ts";
import { nameOf } from "./unique.ts";
import { referenceHint, valueAt } from "./vault-references.ts";
import type { Violation } from "./violation.ts";

/** The largest value an entry may have, in bytes. */
export const MAX_VALUE_BYTES = 256 * 1024;

/**
 * Everything that is wrong with a resource by itself: the rules of the .proto files and all that a data plane's compiling
 * depends on, so that what passes here can be compiled. Expects a resource that `fillDefaults` has made. References and
 * uniqueness are between resources and not checked here.
 *
 * @param storedBytes How long its stored value is, where that is known already.
 */
export function checkResource(
  resource: Resource,
  storedBytes?: number,
): readonly Violation[] {
  const kind = kindOfResource(resource);
  const message = reflectKind(resource);
  if (kind === undefined || message === undefined)
    return [
      {
        kind: "",
        name: "",
        field: "",
        reason: `no kind is set: give one of ${KINDS.join(", ")}`,
      },
    ];
  // What has no faithful form would trip the other rules up.
  let problems = formProblems(message);
  const isFaithful = problems.length === 0;
  if (isFaithful)
    problems = distinct([
      ...fieldProblems(schemaOf(kind), message.message),
      ...kindProblems(resource),
      ...sizeProblems(storedBytes ?? encodeResource(resource).length),
    ]);
  if (problems.length === 0) return [];
  const name = nameOf(resource);
  const [body] = isFaithful ? Object.values(resourceToJson(resource)) : [];
  return problems.map(({ field, reason }) => ({
    kind,
    name: name === "" ? idOf(resource) : name,
    field,
    reason: `${reason}${referenceHint(valueAt(body, field))}`,
  }));
}

/** Makes the first check as fast as the others: compiling the rules of all kinds takes some 300 ms. */
export function warmUpRules(): void {
  for (const kind of KINDS) {
    const schema = schemaOf(kind);
    fieldProblems(schema, create(schema));
  }
  checkResource(
    fillDefaults(
      create(ResourceSchema, {
        kind: { case: "route", value: { name: "r", paths: ["/", "~/r"] } },
      }),
    ),
  );
}

function kindProblems({ kind }: Resource): Problem[] {
  switch (kind.case) {
    case "service":
      return serviceProblems(kind.value);
    case "route":
      return routeProblems(kind.value);
    case "upstream":
      return upstreamProblems(kind.value);
    case "target":
      return targetProblems(kind.value);
    case "plugin":
      return pluginProblems(kind.value);
    case "jwtSecret":
      return jwtSecretProblems(kind.value);
    case "oauth2Credential":
      return oauth2CredentialProblems(kind.value);
    case "certificate":
      return certificateProblems(kind.value);
    case "caCertificate":
      return caCertificateProblems(kind.value);
    case "sni":
      return kind.value.name === ""
        ? []
        : serverNameProblems(kind.value.name, "name");
    default:
      return [];
  }
}

function sizeProblems(length: number): Problem[] {
  return length <= MAX_VALUE_BYTES
    ? []
    : [
        {
          field: "",
          reason: `is ${length} bytes long when stored; at most ${MAX_VALUE_BYTES} are allowed`,
        },
      ];
}

/** A field's own rule and ours may say the same. */
function distinct(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems.filter(({ field, reason }) => {
    const key = `${field}\0${reason}`;
    return !seen.has(key) && seen.add(key);
  });
}
