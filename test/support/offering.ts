import { expect } from "vitest";
import {
  Frames,
  frameOf,
  type ManifestOptions,
} from "../../src/cp/distributor/frames.ts";
import type { State } from "../../src/dp/replica/last-good.ts";
import type { NodeStream } from "./sync-peers.ts";

const frames = new Frames();

/** Offers a state as a control plane does. */
export function offer(
  stream: NodeStream,
  seq: bigint,
  state: State,
  options: Partial<ManifestOptions> = {},
): Promise<void> {
  const manifest = frames.manifest(state, {
    known: false,
    whole: false,
    allowed: false,
    predecessors: [],
    ...options,
  });
  return stream.send(frameOf(manifest, seq));
}

/** Sends all the buckets of a state that the node has asked for in its n-th request; several in a message if it may. */
export async function feed(
  stream: NodeStream,
  state: State,
  request = 1,
  batches = true,
): Promise<void> {
  const { seq, buckets } = await stream.heard("bucketRequest", request);
  const asked = buckets.map(({ index }) => {
    const bucket = state.snapshot.bucket(index);
    if (bucket === undefined) throw new Error(`no bucket ${index}`);
    return { index, bucket };
  });
  for await (const { bodies } of frames.pieces(asked, batches))
    for (const body of bodies) await stream.send(frameOf(body, seq));
}

/** Offers a state, feeds it and waits for the Ack. */
export async function bring(
  stream: NodeStream,
  seq: bigint,
  state: State,
): Promise<void> {
  await offer(stream, seq, state);
  await feed(stream, state);
  expect((await stream.heard("ack")).cursor).toEqual(state.cursor);
}
