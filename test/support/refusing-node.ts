import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "vitest";
import type { State } from "../../src/dp/replica/last-good.ts";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import { ResourceSchema } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import {
  Codec,
  DeltaContentSchema,
  NackClass,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { spelledOut } from "../../src/sync/editions.ts";
import { BUCKET_BATCH } from "../../src/sync/features.ts";
import { eventually } from "./eventually.ts";
import { feed, offer } from "./offering.ts";
import { id } from "./resources.ts";
import { stateOf } from "./states.ts";
import type { NodeStream, PuppetControlPlane } from "./sync-peers.ts";

/** A service, encoded. */
const value = (name: string): Uint8Array =>
  toBinary(
    ResourceSchema,
    create(ResourceSchema, {
      kind: { case: "service", value: { id: id(1), name, host: "h.test" } },
    }),
  );

const entries = (count: number, name = "s"): [number, Uint8Array][] =>
  Array.from({ length: count }, (_, n) => [n, value(`${name}${n}`)]);

/** Says what a control plane should not, or not to this node, and sees what the node makes of it. */
export async function refuses(puppet: PuppetControlPlane): Promise<void> {
  const stream = await puppet.welcomed(1);
  const talk = new Talk(stream);
  const served = stateOf(5, entries(10));
  await talk.acks(served);

  const changed = stateOf(5, entries(10, "t"));
  await talk.nacks(changed, NackClass.STALE, served.cursor);
  const earlier = stateOf(4, entries(9));
  await talk.nacks(earlier, NackClass.STALE, served.cursor);
  const foreign = stateOf(9, entries(4), { epoch: "foreign" });
  await talk.nacks(foreign, NackClass.HELD, served.cursor);
  const broken = stateOf(6, [...entries(10), [10, Buffer.from([0xff])]]);
  const { violations } = await talk.nacks(
    broken,
    NackClass.INVALID,
    served.cursor,
  );
  expect(violations).toMatchObject([{ key: `service/${id(10)}` }]);

  // Another root than the content has, and a delta from something else.
  const next = stateOf(6, entries(11));
  await talk.delta(served.cursor, changed.cursor, 10);
  await talk.refused(NackClass.ROOT_MISMATCH, served.cursor);
  await talk.delta(earlier.cursor, next.cursor, 10);
  await talk.refused(NackClass.ROOT_MISMATCH, served.cursor);
  await talk.delta(served.cursor, next.cursor, 10);
  await talk.acked(next.cursor);

  // With permission it follows; a state that it has already is news all the same.
  await talk.acks(foreign, { allowed: true });
  const again = { ...foreign, cursor: { ...foreign.cursor, revision: 10n } };
  await talk.acks(again, { known: true });

  // Not taken for an answer to anything: it hangs up, and comes again with what it has and what it refused.
  await offer(stream, 1n, next);
  await puppet.greeted(2);
  const hello = await puppet.streams[1]!.heard("hello");
  expect(hello.have).toEqual(again.cursor);
  expect(hello.refused.map((refusal) => refusal.class)).toEqual([
    NackClass.HELD,
    NackClass.INVALID,
  ]);
}

/** One stream, counting what goes to and fro. */
class Talk {
  readonly #stream: NodeStream;
  #seq = 0n;
  #requests = 0;
  #acks = 0;
  #nacks = 0;

  constructor(stream: NodeStream) {
    this.#stream = stream;
  }

  /** Offers a state, with the buckets that the node asks for. */
  async #bring(
    state: State,
    options: { readonly allowed?: boolean; readonly known?: boolean },
  ): Promise<void> {
    await offer(this.#stream, ++this.#seq, state, options);
    const answered = (): boolean =>
      this.#stream.received.some(
        ({ message }) =>
          (message.case === "ack" || message.case === "nack") &&
          message.value.seq === this.#seq,
      );
    const asked = (): boolean =>
      this.#stream.received.filter(
        ({ message }) => message.case === "bucketRequest",
      ).length > this.#requests;
    await eventually(() => answered() || asked() || undefined, "an answer");
    if (!asked()) return;
    const batches = this.#stream.received.some(
      ({ message }) =>
        message.case === "hello" &&
        spelledOut(message.value.features).some(
          ({ name }) => name === BUCKET_BATCH,
        ),
    );
    await feed(this.#stream, state, ++this.#requests, batches);
  }

  async acks(
    state: State,
    options: { readonly allowed?: boolean; readonly known?: boolean } = {},
  ): Promise<void> {
    await this.#bring(state, options);
    await this.acked(state.cursor);
  }

  async acked(cursor: Cursor): Promise<void> {
    const ack = await this.#stream.heard("ack", ++this.#acks);
    expect(ack).toMatchObject({ seq: this.#seq, cursor });
  }

  async nacks(state: State, why: NackClass, kept: Cursor) {
    await this.#bring(state, {});
    const nack = await this.refused(why, kept);
    expect(nack.cursor).toEqual(state.cursor);
    return nack;
  }

  async refused(why: NackClass, kept: Cursor) {
    const nack = await this.#stream.heard("nack", ++this.#nacks);
    expect(nack).toMatchObject({ seq: this.#seq, class: why, kept });
    return nack;
  }

  /** Sends a delta that puts the n-th service. */
  async delta(from: Cursor, to: Cursor, n: number): Promise<void> {
    const data = toBinary(
      DeltaContentSchema,
      create(DeltaContentSchema, {
        puts: [{ key: `service/${id(n)}`, value: value(`s${n}`) }],
      }),
    );
    await this.#stream.send({
      case: "delta",
      value: {
        seq: ++this.#seq,
        ...{ from, to, codec: Codec.IDENTITY, data, size: data.length },
      },
    });
  }
}
