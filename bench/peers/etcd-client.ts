import * as grpc from "@grpc/grpc-js";
import { OWN_CONNECTION } from "../support/bare-stream.ts";
import { clientCredentials, type KeyPair } from "../support/tls.ts";
import { untilOpen, type Closable } from "../support/until-open.ts";
import {
  decodePut,
  decodeWatch,
  encodePut,
  encodeWatch,
  PUT_PATH,
  WATCH_PATH,
  type WatchNews,
} from "./etcd-messages.ts";

const same = (bytes: Buffer): Buffer => bytes;
const MAX_BYTES = 64 << 20;

/** Watches all keys from one up to another on a connection of its own; a stalled one reads one message and no more. */
export function openWatcher(
  port: number,
  pair: KeyPair,
  range: { readonly from: string; readonly to: string },
  startRevision: number,
  onNews: (news: WatchNews) => void,
  stalled = false,
): Closable {
  return untilOpen((opened, ended) => {
    const client = connect(port, pair);
    const call = client.makeBidiStreamRequest(WATCH_PATH, same, same);
    call.on("error", ended);
    call.on("data", (bytes: Buffer) => {
      opened();
      if (stalled) call.pause();
      onNews(decodeWatch(bytes));
    });
    call.write(encodeWatch(range.from, range.to, startRevision));
    return {
      close: () => {
        call.cancel();
        client.close();
      },
    };
  });
}

/** Puts values. */
export class EtcdWriter implements Disposable {
  readonly #client: grpc.Client;

  constructor(port: number, pair: KeyPair) {
    this.#client = connect(port, pair);
  }

  /** Resolves with the revision. */
  put(key: string, value: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        PUT_PATH,
        same,
        same,
        encodePut(key, value),
        (error, response) => {
          if (error !== null) reject(error);
          else resolve(decodePut(response ?? Buffer.alloc(0)));
        },
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function connect(port: number, pair: KeyPair): grpc.Client {
  return new grpc.Client(`127.0.0.1:${port}`, clientCredentials(pair), {
    ...OWN_CONNECTION,
    "grpc.max_receive_message_length": MAX_BYTES,
  });
}
