import {
  decode,
  encode,
  streamEncode,
  type Answer,
  type DecodedPacket,
} from "dns-packet";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";

/** What the server says to one question. */
export type Zone = (question: {
  readonly name: string;
  readonly type: string;
}) => Reply;

export interface Reply {
  readonly answers?: readonly Answer[];
  readonly additionals?: readonly Answer[];
  /** "silence": no answer at all. "truncate": over UDP only that it does not fit. */
  readonly how?: "NXDOMAIN" | "SERVFAIL" | "silence" | "truncate";
}

/** A real name server on loopback, over UDP and TCP on one port. */
export class DnsServer implements AsyncDisposable {
  /** What it says from now on. */
  zone: Zone;
  /** All questions, "A a.test", in the order in which they came. */
  readonly asked: string[] = [];
  readonly #udp: Socket;
  readonly #tcp: Server;

  private constructor(zone: Zone, udp: Socket, tcp: Server) {
    this.zone = zone;
    this.#udp = udp;
    this.#tcp = tcp;
    udp.on("message", (message, peer) => {
      const { packet, reply } = this.#reply(message, "udp");
      if (reply.how === "silence") return;
      const truncate = reply.how === "truncate" ? TRUNCATED : 0;
      udp.send(
        encode(answerTo(packet, truncate === 0 ? reply : {}, truncate)),
        peer.port,
        peer.address,
      );
    });
    tcp.on("connection", (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        const { packet, reply } = this.#reply(data.subarray(2), "tcp");
        if (reply.how !== "silence")
          socket.end(streamEncode(answerTo(packet, reply, 0)));
      });
    });
  }

  static async start(zone: Zone): Promise<DnsServer> {
    const tcp = createServer();
    tcp.listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const udp = createSocket("udp4");
    udp.bind((tcp.address() as AddressInfo).port, "127.0.0.1");
    await once(udp, "listening");
    return new DnsServer(zone, udp, tcp);
  }

  /** "127.0.0.1:port" */
  get address(): string {
    return `127.0.0.1:${this.#udp.address().port}`;
  }

  #reply(
    message: Buffer,
    over: string,
  ): { readonly packet: DecodedPacket; readonly reply: Reply } {
    const packet = decode(message);
    const [question] = packet.questions ?? [];
    if (question === undefined) throw new Error("no question");
    this.asked.push(
      `${question.type} ${question.name}${over === "tcp" ? " over TCP" : ""}`,
    );
    return { packet, reply: this.zone(question) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#udp.close();
    this.#tcp.close();
    await Promise.all([once(this.#udp, "close"), once(this.#tcp, "close")]);
  }
}

const TRUNCATED = 1 << 9;
const CODES = { SERVFAIL: 2, NXDOMAIN: 3 } as const;

function answerTo(packet: DecodedPacket, reply: Reply, flags: number) {
  const { how, answers = [], additionals = [] } = reply;
  const code = how === "NXDOMAIN" || how === "SERVFAIL" ? CODES[how] : 0;
  return {
    type: "response" as const,
    id: packet.id ?? 0,
    flags: flags | code,
    questions: packet.questions ?? [],
    answers: [...answers],
    additionals: [...additionals],
  };
}

/** A zone of records: names that have none of the type asked for, or none at all, are answered as a real server does. */
export function zoneOf(records: () => readonly Answer[]): Zone {
  return ({ name, type }) => {
    const own = records().filter(
      (record) => "name" in record && record.name === name,
    );
    if (own.length === 0) return { how: "NXDOMAIN" };
    return {
      answers: own.filter(
        (record) => record.type === type || record.type === "CNAME",
      ),
    };
  };
}

/** A record of an address. */
export function address(name: string, data: string, ttl = 60): Answer {
  return { type: data.includes(":") ? "AAAA" : "A", name, data, ttl };
}

/** A record of where a service is. */
export function service(
  name: string,
  target: string,
  data: { port: number; weight?: number; priority?: number },
  ttl = 60,
): Answer {
  return { type: "SRV", name, ttl, data: { target, ...data } };
}
