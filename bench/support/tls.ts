import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { Registry } from "prom-client";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { ClusterTls } from "../../src/runtime/tls/cluster-tls.ts";
import type { TempDir } from "./temp-dir.ts";

const run = promisify(execFile);

/** A certificate and its key, as files: everybody's own, and all that everybody trusts. */
export interface KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Makes a self-signed P-256 pair for 127.0.0.1 that lasts two days. */
export async function makeKeyPair(directory: TempDir): Promise<KeyPair> {
  const pair = {
    certFile: directory.join("bench.crt"),
    keyFile: directory.join("bench.key"),
  };
  await run("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"],
    ...["-pkeyopt", "ec_paramgen_curve:prime256v1"],
    ...["-subj", "/CN=holdfast-bench"],
    ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ...["-keyout", pair.keyFile, "-out", pair.certFile],
  ]);
  return pair;
}

/** Credentials of a grpc-js server that asks for the client's certificate. */
export function serverCredentials(pair: KeyPair): grpc.ServerCredentials {
  const cert = readFileSync(pair.certFile);
  return grpc.ServerCredentials.createSsl(
    cert,
    [{ private_key: readFileSync(pair.keyFile), cert_chain: cert }],
    true,
  );
}

/** Credentials of a grpc-js client that shows its certificate. Reading a file for each of 5,000 clients is not what is measured: once a process. */
export function clientCredentials(pair: KeyPair): grpc.ChannelCredentials {
  const known = credentials.get(pair.certFile);
  if (known !== undefined) return known;
  const cert = readFileSync(pair.certFile);
  const made = grpc.credentials.createSsl(
    cert,
    readFileSync(pair.keyFile),
    cert,
  );
  credentials.set(pair.certFile, made);
  return made;
}

const credentials = new Map<string, grpc.ChannelCredentials>();

/** Nothing changes while a bench runs. */
const POLL_MS = 24 * 60 * 60_000;

/** The product's own TLS, for either side. Each data plane has its own, with the ticket of its last connection. */
export function clusterTls(pair: KeyPair): Promise<ClusterTls> {
  return ClusterTls.open({
    ...pair,
    clock: systemClock,
    logger: silentLogger,
    metrics: new Registry(),
    pollMs: POLL_MS,
  });
}
