import type { Plugin } from "../gen/holdfast/config/v1/plugin_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import type { Route } from "../gen/holdfast/config/v1/route_pb.js";
import { isRegexPath } from "./paths.ts";
import { knownPlugin, pluginConfigNotes } from "./plugins.ts";
import { show } from "./problem.ts";
import { expiryNote } from "./rules/certificate.ts";
import { vaultReferencesOf } from "./vault-references.ts";

/** Something that is accepted and may not do what was meant. */
export interface Note {
  readonly field: string;
  readonly message: string;
}

/** What to warn about in a resource that is accepted. Certificates are judged by `nowMs`, and not at all without it. */
export function warningsOf(
  resource: Resource,
  options: { readonly nowMs?: number } = {},
): Note[] {
  return [
    ...kindNotes(resource, options.nowMs),
    ...vaultReferencesOf(resource).map((field) => ({
      field,
      message:
        "is a reference to a vault, which Holdfast's data planes do not follow: they take its text for the value",
    })),
  ];
}

function kindNotes({ kind }: Resource, nowMs: number | undefined): Note[] {
  switch (kind.case) {
    case "route":
      return routeNotes(kind.value);
    case "service":
      return isProxied([kind.value.protocol ?? "http"])
        ? []
        : [
            {
              field: "protocol",
              message: `is stored, but Holdfast's data planes proxy http, https, grpc and grpcs only: requests for a service of protocol ${show(kind.value.protocol)} are not served`,
            },
          ];
    case "plugin":
      return pluginNotes(kind.value);
    case "certificate":
    case "caCertificate": {
      const note =
        nowMs === undefined ? undefined : expiryNote(kind.value.cert, nowMs);
      return note === undefined ? [] : [{ field: "cert", message: note }];
    }
    case "vault":
      return [
        {
          field: "",
          message:
            "is stored, but Holdfast's data planes do not follow references to vaults",
        },
      ];
    case "oauth2Credential":
      return [notUsed("oauth2")];
    case "hmacauthCredential":
      return [notUsed("hmac-auth")];
    default:
      return [];
  }
}

function notUsed(plugin: string): Note {
  return {
    field: "",
    message: `is stored, but Holdfast's data planes do not have the plugin ${show(plugin)} that it is for: nobody can use it there`,
  };
}

function isProxied(protocols: readonly string[]): boolean {
  return protocols.some((protocol) =>
    ["http", "https", "grpc", "grpcs", "ws", "wss"].includes(protocol),
  );
}

function routeNotes(route: Route): Note[] {
  const notes: Note[] = [];
  if (route.expression !== "")
    notes.push({
      field: "expression",
      message:
        "is stored, but Holdfast's data planes do not route by expressions: the route is not served",
    });
  else if (!isProxied(route.protocols))
    notes.push({
      field: "protocols",
      message: `is stored, but Holdfast's data planes proxy http, https, grpc and grpcs only: a route of ${route.protocols.join(", ")} is not served`,
    });
  for (const [i, path] of route.paths.entries())
    if (!isRegexPath(path) && NEVER_IN_A_PATH.test(path))
      notes.push({
        field: `paths[${i}]`,
        message: `${show(path)} is a literal prefix; to have it matched as a regular expression write ${show(`~${path}`)}`,
      });
  return notes;
}

function pluginNotes(plugin: Plugin): Note[] {
  const config = plugin.config ?? {};
  if (knownPlugin(plugin.name) === undefined)
    return [
      {
        field: "name",
        message: `${show(plugin.name)} is not a plugin that this version knows: its config is stored as it is and not checked`,
      },
    ];
  return pluginConfigNotes(plugin.name, config).map(({ field, reason }) => ({
    field,
    message: reason,
  }));
}

/** Characters that a request's path does not have, but many regular expressions have. */
const NEVER_IN_A_PATH = /[\\^$|?*+()[\]{}]/;
