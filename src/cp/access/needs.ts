import { EVERY_WORKSPACE, type Role } from "./roles.ts";
import type { MethodAccess } from "./method-access.ts";

/** A role that a call needs in a workspace. */
export interface Need {
  readonly role: Role;
  readonly workspace: string;
  /** The field that names it. */
  readonly field: string;
}

/** What an empty workspace in a request means. */
const DEFAULT_WORKSPACE = "default";

/** All that a request needs: its method's role in the workspace that it names, and what it needs in another one. */
export function needsOf(
  access: MethodAccess,
  request: object,
): readonly [Need, ...Need[]] {
  const first = needOf(access, request);
  const { to } = request as Readonly<Record<string, unknown>>;
  // Without a name there is nothing to need a role in: its handler says so.
  return access.to === undefined || to === ""
    ? [first]
    : [first, { role: access.to, workspace: String(to), field: "to" }];
}

function needOf(access: MethodAccess, request: object): Need {
  const fields = request as Readonly<Record<string, unknown>>;
  const { needs } = access;
  const role = needs === "anybody" || needs === "known" ? "read" : needs;
  const { workspace } = fields;
  if (typeof workspace !== "string")
    // A table that says otherwise is wrong, and lets nobody through.
    throw new TypeError("a request that needs a role has no workspace");
  return {
    role: roleOf(role, access, fields),
    workspace:
      fields["allWorkspaces"] === true
        ? EVERY_WORKSPACE
        : workspace === ""
          ? DEFAULT_WORKSPACE
          : workspace,
    field: "workspace",
  };
}

/** The least that may be enough, as far as it is known before there is a request. */
export function leastRole({ needs, dryRun }: MethodAccess): Role | undefined {
  if (needs === "anybody" || needs === "known") return undefined;
  return dryRun === true ? "read" : needs;
}

function roleOf(
  role: Role,
  { dryRun }: MethodAccess,
  fields: Readonly<Record<string, unknown>>,
): Role {
  const needed = dryRun === true && fields["dryRun"] === true ? "read" : role;
  // Who sees secrets can use them: that is no less than changing them, also when nothing is changed.
  return needed === "read" && fields["includeSecrets"] === true
    ? "write"
    : needed;
}
