import type { Oauth2Credential } from "../../gen/holdfast/config/v1/consumer_pb.js";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { kindOfResource } from "../../model/kinds.ts";
import type { Violation } from "../../model/violation.ts";
import { labelOf } from "./resource.ts";

/** A resource with its secrets, or what is wrong because it has none. */
export interface WithSecrets {
  readonly resource: Resource;
  readonly violations: readonly Violation[];
}

/**
 * Makes up the key of a credential that comes without one. A credential that is there already keeps what it has, so that
 * its tags can be changed by somebody who does not know its key. In a file a missing key is refused: every run, and
 * every control plane, would make up another one.
 */
export function withGeneratedSecrets(
  resource: Resource,
  before: Resource | undefined,
  fromFile: boolean,
  newSecret: () => string,
): WithSecrets {
  const { kind } = resource;
  const was = before?.kind;
  switch (kind.case) {
    case "keyauthCredential": {
      if (kind.value.key !== "") break;
      if (fromFile) return refused(resource, ["key"]);
      const key =
        was?.case === "keyauthCredential" ? was.value.key : newSecret();
      return accepted(resource, {
        case: kind.case,
        value: { ...kind.value, key },
      });
    }
    case "jwtSecret": {
      const needsSecret =
        kind.value.secret === "" &&
        (kind.value.algorithm ?? "HS256").startsWith("HS");
      const missing = [
        ...(kind.value.key === "" ? ["key"] : []),
        ...(needsSecret ? ["secret"] : []),
      ];
      if (missing.length === 0) break;
      if (fromFile) return refused(resource, missing);
      const old = was?.case === "jwtSecret" ? was.value : undefined;
      return accepted(resource, {
        case: kind.case,
        value: {
          ...kind.value,
          key:
            kind.value.key === "" ? (old?.key ?? newSecret()) : kind.value.key,
          secret: needsSecret
            ? (nonEmpty(old?.secret) ?? newSecret())
            : kind.value.secret,
        },
      });
    }
    case "hmacauthCredential": {
      if (kind.value.secret !== "") break;
      if (fromFile) return refused(resource, ["secret"]);
      const secret =
        was?.case === "hmacauthCredential" ? was.value.secret : newSecret();
      return accepted(resource, {
        case: kind.case,
        value: { ...kind.value, secret },
      });
    }
    case "oauth2Credential":
      return withClientSecret(
        resource,
        kind.value,
        was?.case === "oauth2Credential" ? was.value : undefined,
        fromFile,
        newSecret,
      );
    default:
  }
  return { resource, violations: [] };
}

/** A secret that is stored hashed is never made up: nobody would come to know it. */
function withClientSecret(
  resource: Resource,
  credential: Oauth2Credential,
  before: Oauth2Credential | undefined,
  fromFile: boolean,
  newSecret: () => string,
): WithSecrets {
  const hashes = credential.hashSecret === true;
  const needsSecret =
    credential.clientSecret === "" && credential.clientType !== "public";
  const missing = [
    ...(credential.clientId === "" ? ["client_id"] : []),
    ...(needsSecret ? ["client_secret"] : []),
  ];
  if (missing.length === 0) return { resource, violations: [] };
  if (fromFile) return refused(resource, missing);
  // What is there is only good for this one if it is stored in the same form.
  const old =
    (before?.hashSecret === true) === hashes
      ? nonEmpty(before?.clientSecret)
      : undefined;
  const violations =
    needsSecret && hashes && old === undefined
      ? [
          {
            ...labelOf(resource),
            field: "client_secret",
            reason:
              "must be given together with hash_secret: one that is made up could not be shown once it is hashed",
          },
        ]
      : [];
  const clientSecret =
    needsSecret && violations.length === 0
      ? (old ?? newSecret())
      : credential.clientSecret;
  const clientId =
    nonEmpty(credential.clientId) ?? before?.clientId ?? newSecret();
  const value = { ...credential, clientId, clientSecret };
  return {
    resource: { ...resource, kind: { case: "oauth2Credential", value } },
    violations,
  };
}

function accepted(resource: Resource, kind: Resource["kind"]): WithSecrets {
  return { resource: { ...resource, kind }, violations: [] };
}

function refused(resource: Resource, fields: readonly string[]): WithSecrets {
  return {
    resource,
    violations: fields.map((field) => ({
      ...labelOf(resource),
      kind: kindOfResource(resource) ?? "",
      field,
      reason: `must be given in a file: one that is made up would be another each time; leave the credential out of the file to have its ${field} made up by a Put`,
    })),
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
