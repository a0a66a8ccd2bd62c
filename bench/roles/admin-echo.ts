import { toBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { once } from "node:events";
import { open, type FileHandle } from "node:fs/promises";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import {
  ApplyRequestSchema,
  ConfigService,
  PutRequestSchema,
} from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import type { Calls } from "../support/child.ts";

export interface AdminEcho {
  /** Serves, with its log in a file, and says where. */
  readonly start: (file: string) => Promise<string>;
}

/** A log that makes durable, with one fsync, all that came during the one before. */
class Log {
  readonly #file: FileHandle;
  #waiting: Uint8Array[] = [];
  #next: Promise<void> | undefined;
  #present: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Resolves when the bytes are on disk. */
  append(bytes: Uint8Array): Promise<void> {
    this.#waiting.push(bytes);
    this.#next ??= this.#present.then(() => this.#write());
    return this.#next;
  }

  async #write(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#present = this.#next ?? this.#present;
    this.#next = undefined;
    await this.#file.appendFile(Buffer.concat(batch));
    await this.#file.datasync();
  }
}

/** The least that a durable Put costs on the same stack: connect-node, the same messages, a log, and nothing else. */
export function adminEcho(): AdminEcho & Calls {
  return {
    start: async (path) => {
      const log = new Log(await open(path, "a"));
      let revision = 0n;
      const server = createServer(
        connectNodeAdapter({
          routes: (router) => {
            router.service(ConfigService, {
              put: async (request) => {
                await log.append(toBinary(PutRequestSchema, request));
                const { resource } = request;
                revision++;
                return {
                  revision,
                  ...(resource === undefined ? {} : { resource }),
                };
              },
              apply: async (request) => {
                await log.append(toBinary(ApplyRequestSchema, request));
                return { revision: ++revision };
              },
            });
          },
        }),
      );
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
  };
}
