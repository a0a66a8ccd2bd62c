import type { HandlerContext } from "@connectrpc/connect";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type { Kind } from "../../model/kinds.ts";
import { REDACTED, secretsThat } from "../../model/redact.ts";
import type { Slices } from "../../model/slices.ts";
import { isNamedBySecret } from "../../model/unique.ts";
import { isVaultReference } from "../../model/vault-reference.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { ById } from "../catalog/reading.ts";
import type { TransactOptions } from "../catalog/operation.ts";
import { describeResource } from "../catalog/resource.ts";
import { seeSecrets } from "./caller.ts";

/** Looking for secrets in a resource costs about as much as handling this many entries. */
const RESOURCE_WEIGHT = 8;

/** A secret that is put. */
interface Tried {
  readonly resource: Resource;
  readonly field: string;
}

/**
 * A dry run tells what would change: of a secret that is put, so, whether it is the stored one. Who may not see secrets
 * may not try them out either. References to vaults are none, and "***" is refused as it stands.
 *
 * @throws ConnectError PERMISSION_DENIED
 */
export async function guardTrial(
  call: HandlerContext,
  request: { readonly dryRun: boolean },
  resources: Iterable<Resource>,
): Promise<void> {
  if (!request.dryRun) return;
  const { signal } = call;
  const found = await driveSlices(findSecret(resources), { signal });
  if (found !== undefined) seeTried(call, request, found);
}

/**
 * The same for what is put under a mask: which plugin it is put into, and so what of it is secret, is only known when its
 * turn comes.
 */
export function guardMasked(
  call: HandlerContext,
  request: { readonly dryRun: boolean },
): Pick<TransactOptions, "onMasked"> {
  if (!request.dryRun) return {};
  return {
    onMasked: (resource) => {
      const field = secretOf(resource);
      if (field !== undefined) seeTried(call, request, { resource, field });
    },
  };
}

function seeTried(
  call: HandlerContext,
  request: object,
  { resource, field }: Tried,
): void {
  seeSecrets(
    call,
    request,
    `a dry run that puts ${field} of ${describeResource(resource)}, a secret, tells whether it is the right one`,
  );
}

/**
 * Finding something by what is a secret tells whether there is one.
 *
 * @throws ConnectError PERMISSION_DENIED
 */
export function guardLookup(
  call: HandlerContext,
  request: object,
  kind: Kind,
  { name = "" }: ById,
): void {
  if (name !== "" && isNamedBySecret(kind))
    seeSecrets(
      call,
      request,
      `finding a ${kind} by its key, a secret, tells whether it is a right one (give its id instead)`,
    );
}

function* findSecret(resources: Iterable<Resource>): Slices<Tried | undefined> {
  for (const resource of resources) {
    const field = secretOf(resource);
    if (field !== undefined) return { resource, field };
    yield RESOURCE_WEIGHT;
  }
  return undefined;
}

function secretOf(resource: Resource): string | undefined {
  const [field] = secretsThat(
    resource,
    (text) => text !== REDACTED && !isVaultReference(text),
  );
  return field;
}
