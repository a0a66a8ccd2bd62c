/** What callers may do, each role all that those before it may. */
export const ROLES = ["read", "write", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Stands for every workspace, those to come included. */
export const EVERY_WORKSPACE = "*";

/** Roles by workspace, or by {@link EVERY_WORKSPACE}. */
export type Roles = ReadonlyMap<string, Role>;

/** Everything, everywhere. */
export const ALL_ROLES: Roles = new Map([[EVERY_WORKSPACE, "admin"]]);

/** The role in a workspace: the one given for it or the one given for all, whichever is more. */
export function roleIn(roles: Roles, workspace: string): Role | undefined {
  return greater(roles.get(workspace), roles.get(EVERY_WORKSPACE));
}

/** The greatest of the roles, wherever it is. */
export function greatestOf(roles: Roles): Role | undefined {
  return [...roles.values()].reduce<Role | undefined>(greater, undefined);
}

/** Whether a role is enough where another one is needed. */
export function suffices(role: Role | undefined, needed: Role): boolean {
  return role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

function greater(a: Role | undefined, b: Role | undefined): Role | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return suffices(a, b) ? a : b;
}
