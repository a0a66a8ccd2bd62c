import type { AnswerPlugins } from "../plugin-answers.ts";
import type { Begun, ClientSide } from "./attempts.ts";
import type { UpstreamResponse } from "./messages.ts";
import type { OwnHeaders } from "../headers/header-settings.ts";
import type { HeaderBag } from "./header-bag.ts";
import { tokensOf } from "./hop-by-hop.ts";
import {
  relayBody,
  sendWhole,
  splice,
  switchingProtocols,
  type BodyChange,
} from "./relay.ts";
import { clientHeaders, type Latencies } from "./responses.ts";
import { isBodiless, workOnAnswer } from "./worked-answer.ts";

/** What an upstream's answer is passed on with. */
export interface PassingOn {
  readonly id: string;
  readonly latencies: Latencies;
  readonly head: OwnHeaders;
  readonly plugins: AnswerPlugins;
  /** Called when the head of the answer is settled, with its status: the revision is not needed any more. */
  readonly onHead: (status: number) => void;
  /** How long an upgraded connection may be silent. */
  readonly idleMs: number;
  /** What the upstream was asked with: a plugin may have changed it. */
  readonly method: string;
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
  const giveUp = (): false => {
    from.destroy();
    begun.end();
    return false;
  };
  if (!isWellFramed(from)) return giveUp();
  const headers = clientHeaders(client.request, from, options);
  addCookie(headers, begun);
  // No body follows, whatever length the upstream tells of the one that it keeps back.
  if (options.method === "HEAD" && client.request.method !== "HEAD")
    headers.set("Content-Length", "0");
  const head = { status: from.statusCode ?? 502, headers, fromUpstream: true };
  const work = options.plugins.work(head);
  let waiting: "read" | "client" = "read";
  begun.onRequestProgress(() => {
    begun.watch.wait(waiting);
  });
  let change: BodyChange | undefined;
  if (work === undefined) options.plugins.filter(head);
  else {
    const passing = await workOnAnswer(work, head, {
      from,
      bodiless: isBodiless(options.method, head.status),
      filter: options.plugins.filter,
      onProgress: () => {
        begun.watch.wait("read");
      },
    });
    // Gone while plugins worked: its "close" is over, and nobody else would end this.
    if (client.response.destroyed || client.response.closed) {
      giveUp();
      return true;
    }
    if (passing.type === "refused") return giveUp();
    if (passing.type === "whole") {
      if (!writeHead(client, passing, from.statusMessage, options))
        return giveUp();
      // From here on it is for the client to take it.
      waiting = "client";
      begun.watch.wait(waiting);
      await sendWhole(passing.body, client.response, from.rawTrailers);
      begun.end();
      return true;
    }
    change = passing.change;
  }
  if (!writeHead(client, head, from.statusMessage, options)) return giveUp();
  await relayBody(
    from,
    client.response,
    (next) => {
      waiting = next;
      begun.watch.wait(next);
    },
    change,
  );
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
  addCookie(headers, begun);
  options.plugins.filter({ status: 101, headers, fromUpstream: true });
  headers.set("Connection", "Upgrade");
  headers.set("Upgrade", "websocket");
  options.onHead(101);
  const socket = upgrade.take();
  socket.write(switchingProtocols(headers));
  if (head.length > 0) upstream.unshift(head);
  splice(socket, upstream, options.idleMs);
  return true;
}

/** The cookie that the client is to be known by from now on. */
function addCookie(headers: HeaderBag, { setCookie }: Begun): void {
  if (setCookie !== undefined) headers.append("Set-Cookie", setCookie);
}

function writeHead(
  { response }: ClientSide,
  head: { readonly status: number; readonly headers: HeaderBag },
  reason: string | undefined,
  options: PassingOn,
): boolean {
  try {
    response.writeHead(head.status, reason ?? "", head.headers.toRaw());
  } catch {
    // A status or a header that node does not send.
    return false;
  }
  options.onHead(head.status);
  return true;
}

/** node undoes chunks and nothing else: another transfer coding would reach the client without its name. */
function isWellFramed({ rawHeaders }: UpstreamResponse): boolean {
  const codings = tokensOf(rawHeaders, "transfer-encoding");
  return codings.length === 0 || codings.join() === "chunked";
}
