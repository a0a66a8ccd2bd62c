import { keyOf } from "../../model/kinds.ts";
import { REDACTED } from "../../model/redact.ts";
import { uniqueKeys } from "../../model/unique.ts";
import {
  hashPassword,
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
  const { kind } = operation.resource;
  if (kind.case !== "basicauthCredential") return false;
  const { password } = kind.value;
  return (
    password !== "" &&
    // What a secret is shown as: putting it is refused, as it stands.
    password !== REDACTED &&
    password.length <= MAX_CLEAR_LENGTH &&
    !isStoredPassword(password)
  );
}

async function withHashedPassword(
  operation: PutOperation,
  view: View,
  random: (bytes: number) => Uint8Array,
): Promise<PutOperation> {
  const { resource } = operation;
  const { kind } = resource;
  if (kind.case !== "basicauthCredential") return operation;
  const clear = kind.value.password;
  const known = storedPassword(operation, view);
  const password =
    known !== undefined && (await verifyPassword(clear, known))
      ? known
      : await hashPassword(clear, random);
  return {
    ...operation,
    resource: {
      ...resource,
      kind: { case: kind.case, value: { ...kind.value, password } },
    },
  };
}

/** The stored password of the credential that a Put would replace. */
function storedPassword(
  { resource }: PutOperation,
  view: View,
): string | undefined {
  if (resource.kind.case !== "basicauthCredential") return undefined;
  const { id } = resource.kind.value;
  const [unique] = uniqueKeys(resource);
  const key =
    id !== ""
      ? keyOf("basicauth_credential", id)
      : unique && view.owner(unique.key);
  const value = key === undefined ? undefined : view.get(key);
  if (value === undefined) return undefined;
  const { kind } = decodeResource(value);
  return kind.case === "basicauthCredential" ? kind.value.password : undefined;
}
