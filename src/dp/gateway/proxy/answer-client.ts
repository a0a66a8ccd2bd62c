import type { Begun, ClientSide } from "./attempts.ts";
import type { UpstreamResponse } from "./messages.ts";
import type { OwnHeaders } from "../headers/header-settings.ts";
import { relayBody, splice, switchingProtocols } from "./relay.ts";
import {
  clientHeaders,
  type HeaderFilter,
  type Latencies,
} from "./responses.ts";

/** What an upstream's answer is passed on with. */
export interface PassingOn {
  readonly id: string;
  readonly latencies: Latencies;
  readonly head: OwnHeaders;
  readonly filter: HeaderFilter;
  /** Called when the head of the answer is settled, with its status: the revision is not needed any more. */
  readonly onHead: (status: number) => void;
  /** How long an upgraded connection may be silent. */
  readonly idleMs: number;
}

/**
 * Passes an upstream's answer on to the client. Resolves when that is done, or for an upgrade when the two connections are
 * joined. False when the answer makes no sense and nothing was sent.
 */
export async function passOn(
  client: ClientSide,
  begun: Begun,
  options: PassingOn,
): Promise<boolean> {
  const { answered } = begun;
  if (answered.type === "upgrade")
    return passUpgrade(client, begun, answered, options);
  const { response: from } = answered;
  if (!isWellFramed(from) || !writeHead(client, from, options)) {
    from.destroy();
    begun.end();
    return false;
  }
  let waiting: "read" | "client" = "read";
  begun.onRequestProgress(() => {
    begun.watch.wait(waiting);
  });
  await relayBody(from, client.response, (next) => {
    waiting = next;
    begun.watch.wait(next);
  });
  begun.end();
  return true;
}

function passUpgrade(
  client: ClientSide,
  begun: Begun,
  answered: Extract<Begun["answered"], { readonly type: "upgrade" }>,
  options: PassingOn,
): boolean {
  begun.end();
  const { response: from, socket: upstream, head } = answered;
  const { request, upgrade } = client;
  // Nobody asked for it: what the upstream speaks from here on is not HTTP.
  if (upgrade === undefined) {
    upstream.destroy();
    return false;
  }
  const headers = clientHeaders(request, from, options);
  headers.set("Connection", "Upgrade");
  headers.set("Upgrade", "websocket");
  options.onHead(101);
  const socket = upgrade.take();
  socket.write(switchingProtocols(headers));
  if (head.length > 0) upstream.unshift(head);
  splice(socket, upstream, options.idleMs);
  return true;
}

function writeHead(
  { request, response }: ClientSide,
  from: UpstreamResponse,
  options: PassingOn,
): boolean {
  const status = from.statusCode ?? 502;
  const headers = clientHeaders(request, from, options);
  try {
    response.writeHead(status, from.statusMessage ?? "", headers.toRaw());
  } catch {
    // A status or a header that node does not send.
    return false;
  }
  options.onHead(status);
  return true;
}

/** node undoes chunks and nothing else: another transfer coding would reach the client without its name. */
function isWellFramed({ headers }: UpstreamResponse): boolean {
  const coding = headers["transfer-encoding"];
  return coding === undefined || coding.trim().toLowerCase() === "chunked";
}
