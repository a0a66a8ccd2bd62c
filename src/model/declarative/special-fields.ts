import type { DescField } from "@bufbuild/protobuf";
import type { Kind } from "../kinds.ts";
import { migratePath, oldFormatProblem } from "./migrate-path.ts";
import type { Collector } from "./raw-entity.ts";
import { readField } from "./read-field.ts";
import { inside, item, problemAt, type Subject } from "./report.ts";
import { isNull, listItems, type MapEntry, type TreeNode } from "./tree.ts";

/** The paths of a route as format 3.0 writes them. */
export function readPaths(
  field: DescField,
  node: TreeNode,
  subject: Subject,
  { settings: { format }, report }: Collector,
): unknown {
  const read = readField(field, node, subject, report);
  if (format === "3.0" || !Array.isArray(read)) return read;
  for (const [index, child] of (listItems(node) ?? []).entries()) {
    if (child.type !== "scalar" || typeof child.value !== "string") continue;
    const problem = oldFormatProblem(child.value, format);
    if (problem !== undefined)
      report.problems.push(
        problemAt(item(subject, index), child.offset, problem),
      );
  }
  return read.map((path) => migratePath(String(path)));
}

/**
 * A credential without its key is refused. Put makes one up; of a file, applied again and again, that would be another
 * one each time.
 *
 * @returns The keys that something is wrong with.
 */
export function checkCredential(
  kind: Kind,
  entries: ReadonlyMap<string, MapEntry>,
  subject: Subject,
  offset: number,
  { settings, report }: Collector,
): string[] {
  const needed = isPublicClient(kind, entries)
    ? ["client_id"]
    : (CREDENTIAL_KEYS[kind] ?? []);
  const missing = needed.filter((key) => {
    const value = entries.get(key)?.value;
    return value === undefined || isNull(value);
  });
  for (const key of missing)
    report.problems.push(
      problemAt(
        inside(subject, key),
        offset,
        "is missing: in a file a credential must have it",
      ),
    );
  const password = entries.get("password")?.value;
  if (
    kind !== "basicauth_credential" ||
    settings.transform ||
    password === undefined ||
    !isKongHash(password)
  )
    return missing;
  report.problems.push(
    problemAt(
      inside(subject, "password"),
      password.offset,
      "is a hash made by Kong (_transform: false), which no password can be checked with here: write the password itself",
    ),
  );
  return [...missing, "password"];
}

const CREDENTIAL_KEYS: Partial<Record<Kind, readonly string[]>> = {
  keyauth_credential: ["key"],
  basicauth_credential: ["username", "password"],
  jwt_secret: ["key"],
  oauth2_credential: ["client_id", "client_secret"],
  hmacauth_credential: ["username", "secret"],
};

/** One that has no secret. */
function isPublicClient(
  kind: Kind,
  entries: ReadonlyMap<string, MapEntry>,
): boolean {
  const type = entries.get("client_type")?.value;
  return (
    kind === "oauth2_credential" &&
    type?.type === "scalar" &&
    type.value === "public"
  );
}

/** Kong stores the SHA-1 of a password and its consumer's id. */
function isKongHash(node: TreeNode): boolean {
  return (
    node.type === "scalar" &&
    typeof node.value === "string" &&
    /^[0-9a-f]{40}$/.test(node.value)
  );
}
