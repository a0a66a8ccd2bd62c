import path from "node:path";
import { onTestFinished } from "vitest";
import { Catalog, type CatalogOptions } from "../../src/cp/catalog/catalog.ts";
import type { Operation } from "../../src/cp/catalog/operation.ts";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import type { Kind } from "../../src/model/kinds.ts";
import { ConfigError } from "../../src/model/violation.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { FailingStore } from "./failing-store.ts";
import { ManualClock } from "./manual-clock.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** A catalog over a real store in a directory of its own. */
export interface OpenedCatalog {
  readonly catalog: Catalog;
  readonly store: FailingStore;
  readonly clock: ManualClock;
  readonly directory: string;
  /** Closes both and opens them again. */
  reopen(): Promise<OpenedCatalog>;
}

/** Opens an empty catalog, which is closed when the test ends. */
export async function openCatalog(
  options: Partial<CatalogOptions> & { readonly directory?: string } = {},
): Promise<OpenedCatalog> {
  const directory =
    options.directory ?? path.join(await temporaryDirectory(), "store");
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock();
  const store = new FailingStore(await LevelStore.open({ directory }));
  const catalog = await Catalog.open({
    workspace: "default",
    store,
    logger: silentLogger,
    ...options,
    clock,
  });
  const close = async (): Promise<void> => {
    await catalog.close();
    await store[Symbol.asyncDispose]();
  };
  onTestFinished(close);
  return {
    catalog,
    store,
    clock,
    directory,
    reopen: async () => {
      await close();
      return openCatalog({ ...options, clock, directory });
    },
  };
}

/** The operation that puts a resource. */
export function put(
  resource: Resource,
  about: Partial<Extract<Operation, { type: "put" }>> = {},
): Operation {
  return { type: "put", resource, ...about };
}

/** The operation that deletes a resource by its name. */
export function deleteNamed(kind: Kind, name: string): Operation {
  return { type: "delete", kind, name };
}

/** What an operation is refused with: its code and each violation as `kind name: field: reason`. */
export async function refusal(
  promise: Promise<unknown>,
): Promise<{ readonly code: string; readonly violations: readonly string[] }> {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return {
      code: error.code,
      violations: error.violations.map(
        ({ kind, name, field, reason }) =>
          `${kind} ${name}: ${field}: ${reason}`,
      ),
    };
  }
  throw new Error("it was not refused");
}
