import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { KINDS, keyOf, type Kind } from "../../model/kinds.ts";
import type { Slices } from "../../model/slices.ts";
import { lookupKey } from "../../model/unique.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Store } from "../store/store.ts";
import { filterName, keysToRead, passes, type ListFilter } from "./listing.ts";
import { ownerOfName } from "./names.ts";
import { decodePageToken, encodePageToken, pageSizeOf } from "./pages.ts";
import { decodeResource, fillTimes } from "./resource.ts";
import type { State } from "./state.ts";

/** Resources in one part of an export, at most. */
const EXPORT_RESOURCES = 100;

/** Bytes of stored values in one part of an export, about. One value more may be in it. */
const EXPORT_BYTES = 1 << 20;

/** What reading needs. */
export interface ReadContext {
  readonly store: Store;
  readonly logger: Logger;
  readonly drive: <T>(work: Slices<T>) => Promise<T>;
}

/** What is being looked for. The id wins. */
export interface ById {
  readonly id?: string;
  readonly name?: string;
}

/** One resource and the revision it was read at. */
export interface GetResult {
  readonly key: string;
  readonly resource: Resource;
  readonly revision: bigint;
}

/** Which resources to list, and from where on. */
export interface ListOptions extends ListFilter {
  readonly kind: Kind;
  /** Resources in a page. 0: 100. At most 1000. Default: 100. */
  readonly pageSize?: number;
  /** `nextPageToken` of the page before. Default: from the start. */
  readonly pageToken?: string;
}

/** A page of resources, in the order of their ids. */
export interface ListResult {
  readonly resources: readonly Resource[];
  /** Empty after the last page. */
  readonly nextPageToken: string;
  /** The token of the page after one of these, for a page that is cut short. */
  readonly tokenAfter: (id: string) => string;
}

/** A part of an export. The cursor is the same in all. */
export interface ExportPart {
  readonly cursor: Cursor;
  readonly resources: readonly Resource[];
}

/** Reads one resource of the durable state. */
export async function getResource(
  context: ReadContext,
  state: State,
  kind: Kind,
  by: ById,
): Promise<GetResult> {
  const { snapshot, cursor } = state.head;
  const { key, value } = findEntry(state, kind, by);
  const [resource] = await withTimes(context, snapshot.workspace, [
    { key, value },
  ]);
  if (resource === undefined) throw new TypeError(`"${key}" was not read`);
  return { key, resource, revision: cursor.revision };
}

/** @throws ConfigError when there is none. */
function findEntry(
  state: State,
  kind: Kind,
  { id = "", name = "" }: ById,
): { readonly key: string; readonly value: Uint8Array } {
  const key = id === "" ? ownerOfName(state.view, kind, name) : keyOf(kind, id);
  const value = key === undefined ? undefined : state.head.snapshot.get(key);
  if (key === undefined || value === undefined) throw notFound(kind, id, name);
  return { key, value };
}

/** Reads a page of the resources of a kind. */
export async function listResources(
  context: ReadContext,
  state: State,
  options: ListOptions,
): Promise<ListResult> {
  const { kind, refersTo } = options;
  const size = pageSizeOf(options.pageSize);
  const prefix = `${kind}/`;
  const listed = filterName(kind, options);
  const tokenAfter = (id: string): string => encodePageToken(listed, id);
  const after = `${prefix}${decodePageToken(listed, options.pageToken)}`;
  const referred =
    refersTo === undefined
      ? undefined
      : findEntry(state, refersTo.kind, refersTo).key;
  const { page, last } = await context.drive(
    pageSlices(state, { prefix, after, size, referred }, options),
  );
  return {
    resources: await withTimes(context, state.head.snapshot.workspace, page),
    nextPageToken:
      last === undefined ? "" : tokenAfter(last.slice(prefix.length)),
    tokenAfter,
  };
}

/** Reads everything as it was when the export began: by kind, what is referred to first, and by id. */
export async function* exportResources(
  context: ReadContext,
  state: State,
): AsyncGenerator<ExportPart, void, undefined> {
  const { cursor, snapshot } = state.head;
  let page: Found[] = [];
  let bytes = 0;
  let parts = 0;
  const flush = async (): Promise<ExportPart> => {
    const resources = await withTimes(context, snapshot.workspace, page);
    page = [];
    bytes = 0;
    parts++;
    return { cursor, resources };
  };
  for (const kind of KINDS)
    for (const key of state.keys.after("", `${kind}/`)) {
      const value = valueOf(state, key);
      page.push({ key, value });
      bytes += value.length;
      if (page.length >= EXPORT_RESOURCES || bytes >= EXPORT_BYTES)
        yield await flush();
    }
  // Also an empty configuration has a cursor to tell.
  if (page.length > 0 || parts === 0) yield await flush();
}

interface Found {
  readonly key: string;
  readonly value: Uint8Array;
  /** When it had to be decoded already. */
  readonly resource?: Resource;
}

interface Page {
  readonly prefix: string;
  readonly after: string;
  readonly size: number;
  /** Only what refers to this entry. */
  readonly referred: string | undefined;
}

/** Decodes no more than it must: without conditions nothing, with some until the page is full. */
function* pageSlices(
  state: State,
  { prefix, after, size, referred }: Page,
  filter: ListFilter,
): Slices<{ readonly page: Found[]; readonly last: string | undefined }> {
  const page: Found[] = [];
  let last: string | undefined;
  for (const key of yield* keysToRead(state, prefix, after, referred)) {
    if (page.length === size) return { page, last };
    const value = valueOf(state, key);
    const resource = passes(value, filter);
    if (resource === true) page.push({ key, value });
    else if (resource !== false) page.push({ key, value, resource });
    // Decoding costs about as much as handling this many entries.
    if (resource !== true) yield 8;
    last = key;
  }
  return { page, last: undefined };
}

function valueOf(state: State, key: string): Uint8Array {
  const value = state.head.snapshot.get(key);
  if (value === undefined) throw new TypeError(`"${key}" has no value`);
  return value;
}

/** Decodes entries and fills their times. A store that cannot be read takes the times away, not the resources. */
async function withTimes(
  context: ReadContext,
  workspace: string,
  found: readonly Found[],
): Promise<Resource[]> {
  const keys = found.map(({ key }) => key);
  let times: Awaited<ReturnType<Store["times"]>> = [];
  try {
    times = await context.store.times(workspace, keys);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    context.logger.warn("catalog.times_unavailable", {
      workspace,
      err: error,
    });
  }
  return context.drive(decodeSlices(found, times));
}

function* decodeSlices(
  found: readonly Found[],
  times: Awaited<ReturnType<Store["times"]>>,
): Slices<Resource[]> {
  const resources: Resource[] = [];
  for (const [i, { value, resource }] of found.entries()) {
    resources.push(fillTimes(resource ?? decodeResource(value), times[i]));
    yield 8;
  }
  return resources;
}

function notFound(kind: Kind, id: string, name: string): ConfigError {
  const violation = { kind, name: id === "" ? name : id, field: "" };
  if (id === "" && name === "")
    return ConfigError.of("invalid_argument", [
      { ...violation, reason: "an id or a name is needed" },
    ]);
  if (id === "" && lookupKey(kind, name).length === 0)
    return ConfigError.of("invalid_argument", [
      {
        ...violation,
        reason: `a ${kind} cannot be found by a name alone: give its id`,
      },
    ]);
  return ConfigError.of("not_found", [
    {
      ...violation,
      reason: `there is no ${kind} with this ${id === "" ? "name" : "id"}`,
    },
  ]);
}
