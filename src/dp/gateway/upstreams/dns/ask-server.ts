import { decode, encode, streamEncode, type DecodedPacket } from "dns-packet";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { Clock } from "../../../../runtime/clock.ts";
import type { HostPort } from "../../../../runtime/host-port.ts";

/** The types of records that are asked for. */
export type RecordType = "A" | "AAAA" | "SRV";

/** One question to one name server. */
export interface Asking {
  readonly name: string;
  readonly type: RecordType;
  readonly server: HostPort;
  /** 16 bits that nobody can guess. */
  readonly id: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Bytes of an answer that a server may send in one datagram. */
const UDP_BYTES = 1232;
/** An answer over TCP has its length in two bytes. */
const LENGTH_BYTES = 2;

/** Asks over UDP, and again over TCP when the answer did not fit. Rejects when there is no answer in time. */
export async function askServer(asking: Asking): Promise<DecodedPacket> {
  const packet = await race(asking, askByDatagram);
  return packet.flag_tc ? race(asking, askByStream) : packet;
}

/** How an answer, or its failing to come, is told. */
interface Outcome {
  readonly resolve: (packet: DecodedPacket) => void;
  readonly reject: (error: Error) => void;
}

/** @param begin Begins to ask; what it returns ends that. */
function race(
  asking: Asking,
  begin: (asking: Asking, outcome: Outcome) => () => void,
): Promise<DecodedPacket> {
  const { clock, timeoutMs, server } = asking;
  return new Promise((resolve, reject) => {
    let stop: () => void = () => undefined;
    let isOver = false;
    const over = (tell: () => void): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      stop();
      tell();
    };
    const timer = clock.setTimer(timeoutMs, () => {
      over(() => {
        reject(
          new Error(
            `name server ${server.host} did not answer within ${timeoutMs} ms`,
          ),
        );
      });
    });
    stop = begin(asking, {
      resolve: (packet) => {
        over(() => {
          resolve(packet);
        });
      },
      reject: (error) => {
        over(() => {
          reject(error);
        });
      },
    });
  });
}

function askByDatagram(
  asking: Asking,
  { resolve, reject }: Outcome,
): () => void {
  const { host, port } = asking.server;
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  let isClosed = false;
  socket.on("error", reject);
  socket.on("message", (message) => {
    const packet = read(message);
    // Anything else is not for this question, or not from whom was asked: the answer may still come.
    if (packet !== undefined && isAnswer(packet, asking)) resolve(packet);
  });
  // Connected, it takes nobody else's datagrams, and hears when nobody listens there.
  socket.connect(port, host, () => {
    if (!isClosed) socket.send(encode(question(asking)));
  });
  return () => {
    if (isClosed) return;
    isClosed = true;
    socket.close();
  };
}

function askByStream(asking: Asking, { resolve, reject }: Outcome): () => void {
  const { host, port } = asking.server;
  const socket = connect(port, host);
  let received = Buffer.alloc(0);
  socket.once("connect", () => {
    socket.write(streamEncode(question(asking)));
  });
  socket.on("error", reject);
  socket.once("close", () => {
    reject(new Error(`name server ${host} closed the connection`));
  });
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < LENGTH_BYTES) return;
    const end = LENGTH_BYTES + received.readUInt16BE(0);
    if (received.length < end) return;
    const packet = read(received.subarray(LENGTH_BYTES, end));
    if (packet !== undefined && isAnswer(packet, asking)) resolve(packet);
    else reject(new Error(`name server ${host} answered something else`));
  });
  return () => {
    socket.destroy();
  };
}

function question({ id, name, type }: Asking) {
  return {
    type: "query" as const,
    id,
    flags: RECURSION_DESIRED,
    questions: [{ name, type }],
    additionals: [
      {
        type: "OPT" as const,
        name: ".",
        udpPayloadSize: UDP_BYTES,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  };
}

const RECURSION_DESIRED = 1 << 8;

function read(message: Buffer): DecodedPacket | undefined {
  try {
    return decode(message);
  } catch {
    // No packet at all.
    return undefined;
  }
}

function isAnswer(packet: DecodedPacket, { id, name, type }: Asking): boolean {
  const [asked] = packet.questions ?? [];
  return (
    packet.flag_qr &&
    packet.id === id &&
    asked?.type === type &&
    sameName(asked.name, name)
  );
}

/** Whether two names are one: without regard to case and to the dot at the end. */
export function sameName(a: string, b: string): boolean {
  return canonical(a) === canonical(b);
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
