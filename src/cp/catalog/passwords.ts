import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { keyOf, kindOfResource } from "../../model/kinds.ts";
import { idOf } from "../../model/messages.ts";
import { REDACTED } from "../../model/redact.ts";
import { uniqueKeys } from "../../model/unique.ts";
import {
  hashPassword,
  isForeignHash,
  isStoredPassword,
  verifyPassword,
} from "../../runtime/passwords.ts";
import type { Operation, PutOperation } from "./operation.ts";
import { decodeResource } from "./resource.ts";
import type { View } from "./view.ts";

/** The longest clear text that the field's rule lets through: a longer one is refused, so it is not worth hashing. */
const MAX_CLEAR_LENGTH = 4096;

/** Passwords hashed at a time. The threads that hash are those that read and write the store. */
const AT_ONCE = 2;

/** Whether there is anything to hash. */
export function hasClearPasswords(operations: readonly Operation[]): boolean {
  return operations.some(hasClearPassword);
}

/**
 * The operations with all clear passwords hashed; one that is the stored one already is replaced by what is stored, so
 * that putting it again changes nothing. Done before the operations wait for their turn, because it takes long: if the
 * stored one changes in between, the later Put wins, as it does with any field.
 */
export async function withHashedPasswords(
  operations: readonly Operation[],
  view: View,
  random: (bytes: number) => Uint8Array,
): Promise<readonly Operation[]> {
  const clear = [...operations.entries()].filter(([, operation]) =>
    hasClearPassword(operation),
  );
  const hashed = [...operations];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let job = clear[next++]; job !== undefined; job = clear[next++]) {
      const [i, operation] = job;
      if (operation.type === "put")
        hashed[i] = await withHashedPassword(operation, view, random);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return hashed;
}

function hasClearPassword(operation: Operation): boolean {
  if (operation.type !== "put") return false;
  const password = passwordOf(operation.resource);
  return (
    password !== undefined &&
    password !== "" &&
    // What a secret is shown as: putting it is refused, as it stands.
    password !== REDACTED &&
    password.length <= MAX_CLEAR_LENGTH &&
    !isHashed(operation.resource, password)
  );
}

/** What of a resource is stored hashed; undefined when nothing is. */
function passwordOf({ kind }: Resource): string | undefined {
  switch (kind.case) {
    case "basicauthCredential":
      return kind.value.password;
    case "oauth2Credential":
      return kind.value.hashSecret === true
        ? kind.value.clientSecret
        : undefined;
    default:
      return undefined;
  }
}

function withPassword(resource: Resource, password: string): Resource {
  const { kind } = resource;
  switch (kind.case) {
    case "basicauthCredential":
      return {
        ...resource,
        kind: { case: kind.case, value: { ...kind.value, password } },
      };
    case "oauth2Credential":
      return {
        ...resource,
        kind: {
          case: kind.case,
          value: { ...kind.value, clientSecret: password },
        },
      };
    default:
      return resource;
  }
}

/** A client's secret may be in the form that Kong stores it in: nobody here has to check one. */
function isHashed({ kind }: Resource, password: string): boolean {
  return (
    isStoredPassword(password) ||
    (kind.case === "oauth2Credential" && isForeignHash(password))
  );
}

async function withHashedPassword(
  operation: PutOperation,
  view: View,
  random: (bytes: number) => Uint8Array,
): Promise<PutOperation> {
  const { resource } = operation;
  const clear = passwordOf(resource);
  if (clear === undefined) return operation;
  const known = storedPassword(operation, view);
  const password =
    known !== undefined && (await verifyPassword(clear, known))
      ? known
      : await hashPassword(clear, random);
  return { ...operation, resource: withPassword(resource, password) };
}

/** The stored password of the credential that a Put would replace. */
function storedPassword(
  { resource }: PutOperation,
  view: View,
): string | undefined {
  const kind = kindOfResource(resource);
  if (kind === undefined) return undefined;
  const id = idOf(resource);
  const [unique] = uniqueKeys(resource);
  const key = id !== "" ? keyOf(kind, id) : unique && view.owner(unique.key);
  const value = key === undefined ? undefined : view.get(key);
  if (value === undefined) return undefined;
  return passwordOf(decodeResource(value));
}
