import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { eventually } from "./eventually.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** Types of frames that tests send and look for. */
export const FRAME = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
} as const;

const END_STREAM = 0x1;
const END_HEADERS = 0x4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** An HTTP/2 connection in clear text whose frames a test writes itself, right or wrong. */
export class Http2Frames {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.#read(chunk);
    });
    socket.on("error", () => undefined);
  }

  /** Connects and says what a client says first. */
  static async open(port: number): Promise<Http2Frames> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const frames = new Http2Frames(socket);
    frames.begin();
    return frames;
  }

  /** Says what a client says first. */
  begin(): void {
    this.socket.write(PREFACE);
    this.write(FRAME.settings, 0, 0);
  }

  write(
    type: number,
    flags: number,
    stream: number,
    payload: Buffer = Buffer.alloc(0),
  ): void {
    if (!this.socket.destroyed)
      this.socket.write(frameOf(type, flags, stream, payload));
  }

  /** A request's head; a body follows unless `end`. */
  headers(
    stream: number,
    fields: readonly (readonly [name: string, value: string])[],
    end = true,
  ): void {
    const flags = END_HEADERS | (end ? END_STREAM : 0);
    this.write(FRAME.headers, flags, stream, hpack(fields));
  }

  data(stream: number, text: string, end = true): void {
    const payload = Buffer.from(text, "latin1");
    this.write(FRAME.data, end ? END_STREAM : 0, stream, payload);
  }

  /** The first frame of a type, on a stream if that is given, when it has come; undefined when the connection ended without. */
  async next(type: number, stream?: number): Promise<Frame | undefined> {
    const find = (): Frame | undefined =>
      this.frames.find(
        (frame) =>
          frame.type === type &&
          (stream === undefined || frame.stream === stream),
      );
    return eventually(
      () => find() ?? (this.socket.destroyed ? "ended" : undefined),
      `a frame of type ${type}`,
    ).then((found) => (found === "ended" ? undefined : found));
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      if (this.#rest.length < 9) return;
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) return;
      this.frames.push({
        type: this.#rest.readUInt8(3),
        flags: this.#rest.readUInt8(4),
        stream: this.#rest.readUInt32BE(5),
        payload: this.#rest.subarray(9, 9 + length),
      });
      this.#rest = this.#rest.subarray(9 + length);
    }
  }
}

/** A frame's bytes. */
function frameOf(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Fields as literals without indexing and without Huffman coding: any bytes go. */
function hpack(
  fields: readonly (readonly [name: string, value: string])[],
): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [
      Buffer.of(0),
      literal(name),
      literal(value),
    ]),
  );
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127)
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length: number[] = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
  length.push(rest);
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** The head of a GET, with these fields besides. */
export function get(
  path: string,
  ...more: readonly (readonly [string, string])[]
): (readonly [string, string])[] {
  return [
    [":method", "GET"],
    [":scheme", "http"],
    [":authority", "x"],
    [":path", path],
    ...more,
  ];
}
