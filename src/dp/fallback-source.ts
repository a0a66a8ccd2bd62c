import type { KeyObject } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { verifySnapshot } from "../model/snapshot-signature.ts";
import type { Clock } from "../runtime/clock.ts";
import {
  readFallbackAddress,
  withoutSecrets,
  type FallbackAddress,
} from "./fallback-address.ts";
import { fileSource, openStateFile, type State } from "./replica/last-good.ts";
import {
  DamagedFileError,
  readStateFrom,
  type ByteSource,
  type StateHeader,
} from "./state-reader.ts";

/** A state from outside, and when a control plane had it as its newest, by its own clock. */
export interface FallbackState extends State {
  readonly timeMs: number;
}

export interface FallbackSourceOptions {
  /** A file's name, or an http or https URL. */
  readonly source: string;
  /** Who must have signed it. */
  readonly publicKey: KeyObject;
  readonly workspace: string;
  readonly clock: Clock;
}

/** Nothing came from the server for so long. */
const IDLE_MS = 15_000;
/** A download may take so long in all. */
const WHOLE_MS = 10 * 60_000;

/**
 * Reads a snapshot file from a disk or a server, and proves it. Nothing after the header is read before that is proved:
 * the signature vouches for the sizes of the buckets and for the root, and the root, which is computed of the hashes in
 * the header, for those. So whoever has not got the key makes this process take no more than a true file does. Then each
 * bucket is compared with its hash, and the first that has another one is the last that is read.
 *
 * @throws Error that says what disagrees, without what is secret in the source.
 */
export async function readFallback(
  options: FallbackSourceOptions,
  signal: AbortSignal,
): Promise<FallbackState> {
  const address = fallbackAddress(options.source);
  try {
    return address.url === undefined
      ? await fromFile(address.shown, options, signal)
      : await fromServer({ ...address, url: address.url }, options, signal);
  } catch (error) {
    if (error instanceof DamagedFileError)
      throw new Error(`${address.shown} ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * The address in a source.
 *
 * @throws Error when there is none.
 */
export function fallbackAddress(source: string): FallbackAddress {
  const address = readFallbackAddress(source);
  if (typeof address === "string") throw new Error(`--fallback: ${address}`);
  return address;
}

async function fromFile(
  file: string,
  options: FallbackSourceOptions,
  signal: AbortSignal,
): Promise<FallbackState> {
  const handle = await openStateFile(file);
  try {
    const source = await fileSource(handle);
    return await prove(
      {
        size: source.size,
        read(buffer, at) {
          signal.throwIfAborted();
          return source.read(buffer, at);
        },
      },
      options,
    );
  } finally {
    await handle.close();
  }
}

async function fromServer(
  {
    shown,
    url,
    authorization,
  }: FallbackAddress & Required<Pick<FallbackAddress, "url">>,
  options: FallbackSourceOptions,
  signal: AbortSignal,
): Promise<FallbackState> {
  const { clock } = options;
  const late = new AbortController();
  const endsMs = clock.monotonic() + WHOLE_MS;
  let timer = clock.setTimer(IDLE_MS, () => undefined);
  /** Whatever comes gives the server time for the next. */
  const alive = (): void => {
    timer.cancel();
    const leftMs = Math.min(IDLE_MS, endsMs - clock.monotonic());
    timer = clock.setTimer(leftMs, () => {
      late.abort(new Error(`${shown} did not come in time`));
    });
  };
  alive();
  try {
    const response = await fetch(url, {
      // Who was asked is who must answer.
      redirect: "manual",
      signal: AbortSignal.any([signal, late.signal]),
      // As it is: what is inflated on the way could be any size.
      headers: {
        "accept-encoding": "identity",
        ...(authorization === undefined ? {} : { authorization }),
      },
    });
    alive();
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      throw new Error(
        `${shown} answers ${response.status}${response.status >= 300 && response.status < 400 ? `, a redirect to ${target(response.headers.get("location"), url)}: those are not followed` : ""}`,
      );
    }
    const parts = response.body[Symbol.asyncIterator]();
    try {
      return await prove(partsSource(parts, alive), options);
    } finally {
      // What is left of it is of no interest.
      await parts.return?.();
    }
  } finally {
    timer.cancel();
    late.abort();
  }
}

function partsSource(
  parts: AsyncIterator<Uint8Array>,
  alive: () => void,
): ByteSource {
  let part: Uint8Array = new Uint8Array();
  return {
    size: undefined,
    async read(buffer, at) {
      while (part.length === 0) {
        const next = await parts.next();
        if (next.done === true) return 0;
        alive();
        part = next.value;
      }
      const taken = part.subarray(0, buffer.length - at);
      buffer.set(taken, at);
      part = part.subarray(taken.length);
      return taken.length;
    },
  };
}

async function prove(
  source: ByteSource,
  { publicKey, workspace }: FallbackSourceOptions,
): Promise<FallbackState> {
  let timeMs = 0;
  const check = (header: StateHeader): string | undefined => {
    timeMs = header.time === undefined ? 0 : timestampMs(header.time);
    return (
      verifySnapshot(header, [publicKey]) ??
      (header.workspace === workspace
        ? undefined
        : `is of workspace "${header.workspace}", this data plane is of "${workspace}"`)
    );
  };
  return { ...(await readStateFrom(source, check)), timeMs };
}

/** Where a redirect leads to. */
function target(location: string | null, url: string): string {
  return location !== null && URL.canParse(location, url)
    ? withoutSecrets(new URL(location, url))
    : "nowhere";
}
