import { parseDocument } from "yaml";
import { ROLES, EVERY_WORKSPACE, type Role, type Roles } from "./roles.ts";
import { isToken } from "./token.ts";

/** Somebody whom the token file lets call. */
export interface KnownCaller {
  readonly name: string;
  /** SHA-256 of the token. Absent: known by the certificate. */
  readonly digest: Buffer | undefined;
  /** The common name of the client certificate. */
  readonly certificate: string | undefined;
  readonly roles: Roles;
  /** When that ends. Absent: never. */
  readonly expiresAtMs: number | undefined;
}

/** What came of reading a token file. Problems never show what stands where a secret might. */
export type ReadTokenFile =
  | { readonly ok: true; readonly callers: readonly KnownCaller[] }
  | { readonly ok: false; readonly problems: readonly string[] };

/** More would make every call slow: each presented token is compared with all. */
const MAX_CALLERS = 1000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const WORKSPACE = /^[a-z0-9-]{1,63}$/;
const DIGEST = /^[0-9a-f]{64}$/;
const FIELDS = ["name", "sha256", "certificate", "roles", "expires"];

/** Whether a caller can be called so. */
export function isCallerName(name: string): boolean {
  return NAME.test(name);
}

/** Whether a role can be given for this: a workspace's name, or all. */
export function isRolePlace(place: string): boolean {
  return place === EVERY_WORKSPACE || WORKSPACE.test(place);
}

/** Reads a token file: YAML, or JSON. All that is wrong with it is told at once. */
export function readTokenFile(content: string): ReadTokenFile {
  const document = parseDocument(content, { prettyErrors: false });
  // The parser's own words may quote the line.
  const [error] = document.errors;
  if (error !== undefined)
    return bad(`is not YAML: ${error.code} at character ${error.pos[0]}`);
  let parsed: unknown;
  try {
    parsed = document.toJS({ maxAliasCount: 0 });
  } catch {
    return bad("has aliases, and may have none");
  }
  if (!isRecord(parsed) || !Array.isArray(parsed["tokens"]))
    return bad(
      'must be a map with a list "tokens"; "holdfast token create" makes one',
    );
  const problems = Object.keys(parsed)
    .filter((key) => key !== "tokens")
    .map(() => 'has more than "tokens" at its top');
  const entries = parsed["tokens"] as readonly unknown[];
  if (entries.length > MAX_CALLERS)
    return bad(
      `has ${entries.length} tokens, and may have ${MAX_CALLERS}: each call compares with all of them`,
    );
  const callers = entries.map((entry, i) =>
    readCaller(entry, (reason) => problems.push(`tokens[${i}]${reason}`)),
  );
  refuseTwice(callers, problems);
  return problems.length > 0
    ? { ok: false, problems }
    : { ok: true, callers: callers.filter((caller) => caller !== undefined) };
}

function readCaller(
  entry: unknown,
  problem: (reason: string) => void,
): KnownCaller | undefined {
  if (!isRecord(entry)) {
    problem(" must be a map");
    return undefined;
  }
  const { name, sha256, certificate, roles, expires } = entry;
  if (Object.keys(entry).some((key) => !FIELDS.includes(key)))
    problem(` has a field that is none of ${FIELDS.join(", ")}`);
  if (typeof name !== "string" || !isCallerName(name))
    problem(
      ".name must be 1 to 64 letters, digits, dots, hyphens, underscores and @, such as ci",
    );
  if ((sha256 === undefined) === (certificate === undefined))
    problem(
      " must have sha256 or certificate, one of them: how the caller is known",
    );
  if (sha256 !== undefined && !isDigest(sha256))
    problem(
      typeof sha256 === "string" && isToken(sha256)
        ? '.sha256 is a token itself, which is known to whoever reads this file: make another one, with "holdfast token create"'
        : ".sha256 must be the SHA-256 of a token, 64 lower-case hexadecimal digits",
    );
  if (
    certificate !== undefined &&
    (typeof certificate !== "string" || certificate === "")
  )
    problem(".certificate must be the common name of a client certificate");
  const expiresAtMs = expires === undefined ? undefined : timeOf(expires);
  if (Number.isNaN(expiresAtMs))
    problem(".expires must be a time such as 2027-01-31T00:00:00Z");
  return {
    name: String(name),
    digest: isDigest(sha256) ? Buffer.from(sha256, "hex") : undefined,
    certificate: typeof certificate === "string" ? certificate : undefined,
    roles: readRoles(roles, problem),
    expiresAtMs,
  };
}

function readRoles(
  given: unknown,
  problem: (reason: string) => void,
): Map<string, Role> {
  const roles = new Map<string, Role>();
  if (!isRecord(given) || Object.keys(given).length === 0) {
    problem(
      '.roles must be a map of workspaces to roles, such as {default: write}; "*" is every workspace',
    );
    return roles;
  }
  for (const [workspace, word] of Object.entries(given)) {
    const role = ROLES.find((known) => known === word);
    if (!isRolePlace(workspace))
      problem('.roles has a key that is neither a workspace\'s name nor "*"');
    else if (role === undefined)
      problem(`.roles.${workspace} must be one of ${ROLES.join(", ")}`);
    else roles.set(workspace, role);
  }
  return roles;
}

/** Who has what others have too would be taken for somebody else. */
function refuseTwice(
  callers: readonly (KnownCaller | undefined)[],
  problems: string[],
): void {
  for (const [field, of] of [
    ["name", (caller: KnownCaller) => caller.name],
    ["sha256", (caller: KnownCaller) => caller.digest?.toString("hex")],
    ["certificate", (caller: KnownCaller) => caller.certificate],
  ] as const) {
    const seen = new Map<string, number>();
    for (const [i, caller] of callers.entries()) {
      const value = caller === undefined ? undefined : of(caller);
      if (value === undefined) continue;
      const first = seen.get(value);
      if (first === undefined) seen.set(value, i);
      else problems.push(`tokens[${i}].${field} is that of tokens[${first}]`);
    }
  }
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && DIGEST.test(value);
}

/** With its zone, so that it is the same moment everywhere. */
function timeOf(value: unknown): number {
  return typeof value === "string" &&
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/.test(
      value,
    )
    ? Date.parse(value)
    : Number.NaN;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function bad(problem: string): ReadTokenFile {
  return { ok: false, problems: [problem] };
}
