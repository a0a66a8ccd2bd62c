import { setTimeout as sleep } from "node:timers/promises";
import type { TempDir } from "../support/temp-dir.ts";
import type { KeyPair } from "../support/tls.ts";
import { EtcdWriter } from "./etcd-client.ts";
import { freePort, Program } from "./program.ts";

const START_MS = 20_000;

/** A running etcd with the same TLS as everybody else. */
export interface Etcd extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly writer: EtcdWriter;
}

/** Starts etcd on one node. Undefined: it is not installed. */
export async function startEtcd(
  directory: TempDir,
  pair: KeyPair,
): Promise<Etcd | undefined> {
  const port = await freePort();
  const peerPort = await freePort();
  const program = await Program.start("etcd", [
    ...["--name", "bench", "--data-dir", directory.join("etcd")],
    ...["--listen-client-urls", `https://127.0.0.1:${port}`],
    ...["--advertise-client-urls", `https://127.0.0.1:${port}`],
    ...["--listen-peer-urls", `http://127.0.0.1:${peerPort}`],
    ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peerPort}`],
    ...["--initial-cluster", `bench=http://127.0.0.1:${peerPort}`],
    ...["--cert-file", pair.certFile, "--key-file", pair.keyFile],
    ...["--client-cert-auth", "--trusted-ca-file", pair.certFile],
    ...["--quota-backend-bytes", String(4 * 2 ** 30)],
  ]);
  if (program === undefined) return undefined;
  program.output.resume();
  const writer = new EtcdWriter(port, pair);
  const untilMs = performance.now() + START_MS;
  for (;;)
    try {
      await writer.put("bench/ready", Buffer.from("yes"));
      break;
    } catch (error) {
      if (performance.now() > untilMs) {
        await program[Symbol.asyncDispose]();
        throw new Error("etcd does not answer", { cause: error });
      }
      await sleep(200);
    }
  return {
    pid: program.pid,
    port,
    writer,
    [Symbol.asyncDispose]: async () => {
      writer[Symbol.dispose]();
      await program[Symbol.asyncDispose]();
    },
  };
}
