import type { Interceptor } from "@connectrpc/connect";
import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { isToken } from "../../cp/access/token.ts";
import { isLoopback } from "../../runtime/host-port.ts";
import { optional, secret, type Values } from "../flags.ts";
import { Failure, UsageError, type Io } from "../io.ts";
import { text, type ValueType } from "../value-types.ts";

/** A token. What is wrong with one is told without what was given. */
const token: ValueType<string> = {
  placeholder: "TOKEN",
  read: (given) =>
    isToken(given)
      ? { ok: true, value: given }
      : {
          ok: false,
          reason:
            'is not a token: those of "holdfast token create" begin with hf_',
        },
};

/** How a command says who it is, and knows whom it talks to. */
export const credentialFlags = {
  tokenFile: optional(text("FILE"), {
    summary:
      "A file with the token to call with, for control planes that want one.",
  }),
  token: secret(token, { summary: "That token itself." }),
  ca: optional(text("FILE"), {
    summary:
      "The authorities that the control plane's certificate may be by (PEM), instead of those that this machine knows.",
  }),
  clientCert: optional(text("FILE"), {
    summary:
      "The certificate to call with (PEM), for control planes that want one.",
  }),
  clientKey: optional(text("FILE"), { summary: "Its private key (PEM)." }),
};

/** What calls are made with. */
interface CallCredentials {
  readonly interceptors: Interceptor[];
  readonly nodeOptions: RequestOptions;
}

/** Reads the files that the flags name. @throws UsageError, Failure */
export async function credentialsOf(
  io: Io,
  admin: string,
  flags: Partial<Values<typeof credentialFlags>>,
): Promise<CallCredentials> {
  const { clientCert, clientKey, ca, tokenFile } = flags;
  if ((clientCert === undefined) !== (clientKey === undefined))
    throw new UsageError([
      clientCert === undefined
        ? "--client-cert is needed together with --client-key"
        : "--client-key is needed together with --client-cert",
    ]);
  const url = new URL(admin);
  const isSecure = url.protocol === "https:";
  const secured = [
    ...(ca === undefined ? [] : ["--ca"]),
    ...(clientCert === undefined ? [] : ["--client-cert"]),
  ];
  if (!isSecure && secured.length > 0)
    throw new UsageError([
      `${secured.join(", ")} needs an https address: --admin is ${admin}`,
    ]);
  // The file that was named for this call, before what is set for all.
  const bearer =
    tokenFile === undefined ? flags.token : await tokenIn(tokenFile);
  if (bearer !== undefined && !isSecure && !isLocal(url))
    io.stderr.write(
      `warning: ${admin} is not https: whoever can read along has the token\n`,
    );
  return {
    interceptors:
      bearer === undefined
        ? []
        : [
            (next) => (call) => {
              call.header.set("authorization", `Bearer ${bearer}`);
              return next(call);
            },
          ],
    nodeOptions: {
      ...(ca === undefined ? {} : { ca: await content("--ca", ca) }),
      ...(clientCert === undefined || clientKey === undefined
        ? {}
        : {
            cert: await content("--client-cert", clientCert),
            key: await content("--client-key", clientKey),
          }),
    },
  };
}

async function tokenIn(file: string): Promise<string> {
  const read = token.read((await content("--token-file", file)).trim());
  if (!read.ok) throw new Failure(`--token-file ${file}: ${read.reason}`);
  return read.value;
}

async function content(flagName: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`${flagName} ${file}: cannot be read: ${why}`);
  }
}

function isLocal({ hostname }: URL): boolean {
  return isLoopback(hostname.replace(/^\[(.*)\]$/, "$1"));
}
