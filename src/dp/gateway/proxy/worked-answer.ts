import type { ResponseHead } from "../../plugins/plugin.ts";
import type { AnswerWork, HeaderFilter } from "../plugin-answers.ts";
import type { HeaderBag } from "./header-bag.ts";
import { holdBody } from "./hold-body.ts";
import type { UpstreamResponse } from "./messages.ts";
import type { BodyChange } from "./relay.ts";

/** The head of an answer whose headers can be sent as they are. */
export interface AnswerHead extends ResponseHead {
  readonly headers: HeaderBag;
}

/** How an answer goes on when plugins work on it; its headers are filtered. */
export type WorkedAnswer =
  /** It is all here. */
  | {
      readonly type: "whole";
      readonly status: number;
      readonly headers: HeaderBag;
      readonly body: Buffer;
    }
  /** It is to be relayed, with its head. */
  | { readonly type: "relay"; readonly change: BodyChange | undefined }
  /** It must not be sent, or broke off. */
  | { readonly type: "refused" };

/** Whether an answer has no body, whatever its headers say. */
export function isBodiless(
  method: string | undefined,
  status: number,
): boolean {
  return method === "HEAD" || status < 200 || status === 204 || status === 304;
}

/** Lets plugins work on an upstream's answer whose body has not been read. */
export async function workOnAnswer(
  work: AnswerWork,
  head: AnswerHead,
  answer: {
    readonly from: UpstreamResponse;
    readonly bodiless: boolean;
    readonly filter: HeaderFilter;
    readonly onProgress: () => void;
  },
): Promise<WorkedAnswer> {
  const { from, bodiless, filter, onProgress } = answer;
  if (work.insteadStatus !== undefined) {
    from.destroy();
    for (const name of OF_THE_BODY) head.headers.delete(name);
    const instead = { ...head, status: work.insteadStatus };
    return workOnWhole(work, instead, Buffer.alloc(0), filter);
  }
  if (work.holdBytes === 0 || bodiless) {
    filter(head);
    const changes = !bodiless && work.filters(head);
    if (changes) forgetLength(head.headers);
    return { type: "relay", change: { begun: [], pass: work.pass } };
  }
  const held = await holdBody(from, work.holdBytes, onProgress);
  switch (held.type) {
    case "broken":
      return { type: "refused" };
    case "whole":
      return workOnWhole(work, head, held.body, filter);
    case "larger": {
      if ((await work.whole(head, undefined)) === undefined)
        return { type: "refused" };
      filter(head);
      if (work.filters(head)) forgetLength(head.headers);
      return { type: "relay", change: { begun: held.begun, pass: work.pass } };
    }
    default:
      return held satisfies never;
  }
}

/** Lets plugins work on an answer that is all here. */
export async function workOnWhole(
  work: AnswerWork,
  head: AnswerHead,
  body: Buffer,
  filter: HeaderFilter,
): Promise<Extract<WorkedAnswer, { readonly type: "whole" | "refused" }>> {
  const changed = await work.whole(head, body);
  if (changed === undefined) return { type: "refused" };
  const { status } = changed;
  const { headers, fromUpstream } = head;
  const settled = { status, headers, fromUpstream };
  filter(settled);
  work.filters(settled);
  const out = work.filter(changed.body, true);
  if (!isBodiless(undefined, status) && !isSameLength(headers, out))
    headers.set("Content-Length", String(out.length));
  return { type: "whole", status, headers, body: out };
}

function isSameLength(headers: HeaderBag, body: Buffer): boolean {
  return headers.get("Content-Length")[0] === String(body.length);
}

/** What is sent instead of a body of a known length, or of known content, has neither. */
function forgetLength(headers: HeaderBag): void {
  for (const name of ["Content-Length", "Content-MD5", "Digest"])
    headers.delete(name);
}

/** What says something about a body that is not sent. */
const OF_THE_BODY = [
  "Content-Type",
  "Content-Encoding",
  "Content-Length",
  "Content-MD5",
  "Content-Range",
  "Digest",
  "ETag",
  "Last-Modified",
  "Trailer",
];
