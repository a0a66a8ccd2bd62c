import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Paths and field numbers of etcd's API version 3, as far as the benches speak it. */
export const PUT_PATH = "/etcdserverpb.KV/Put";
export const WATCH_PATH = "/etcdserverpb.Watch/Watch";

/** PutRequest: key 1, value 2. */
export function encodePut(key: string, value: Uint8Array): Buffer {
  return finish(
    new BinaryWriter()
      .tag(1, WireType.LengthDelimited)
      .string(key)
      .tag(2, WireType.LengthDelimited)
      .bytes(value),
  );
}

/** PutResponse: header 1; ResponseHeader: revision 3. */
export function decodePut(bytes: Uint8Array): number {
  return revisionOf(bytes);
}

/** WatchRequest: create_request 1; WatchCreateRequest: key 1, range_end 2, start_revision 3. */
export function encodeWatch(
  key: string,
  rangeEnd: string,
  startRevision: number,
): Buffer {
  const create = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string(key)
    .tag(2, WireType.LengthDelimited)
    .string(rangeEnd);
  if (startRevision > 0) create.tag(3, WireType.Varint).int64(startRevision);
  return finish(
    new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(create.finish()),
  );
}

/** What a watcher is told. */
export interface WatchNews {
  readonly created: boolean;
  readonly events: number;
  /** The newest revision that an event led to; 0 without events. */
  readonly revision: number;
}

/** WatchResponse: created 3, events 11; Event: kv 2; KeyValue: mod_revision 3. */
export function decodeWatch(bytes: Uint8Array): WatchNews {
  const reader = new BinaryReader(bytes);
  let created = false;
  let events = 0;
  let revision = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 3) created = reader.bool();
    else if (field === 11) {
      events++;
      revision = Math.max(revision, modRevision(reader.bytes()));
    } else reader.skip(wireType, field);
  }
  return { created, events, revision };
}

function modRevision(event: Uint8Array): number {
  const reader = new BinaryReader(event);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 2) return int64Field(reader.bytes(), 3);
    reader.skip(wireType, field);
  }
  return 0;
}

function revisionOf(response: Uint8Array): number {
  const reader = new BinaryReader(response);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) return int64Field(reader.bytes(), 3);
    reader.skip(wireType, field);
  }
  return 0;
}

function int64Field(message: Uint8Array, wanted: number): number {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted) return Number(reader.int64());
    reader.skip(wireType, field);
  }
  return 0;
}

function finish(writer: BinaryWriter): Buffer {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
