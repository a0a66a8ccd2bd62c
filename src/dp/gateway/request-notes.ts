import type { MutableHeaders } from "../plugins/plugin.ts";
import type { DownstreamResponse } from "./downstream/message.ts";
import type { LoggedTry } from "./log-entry.ts";
import type { AnswerPlugins } from "./plugin-answers.ts";

/** What is written down of a request that somebody will log, beside what is known of any. */
export class RequestNotes {
  readonly tries: LoggedTry[] = [];
  readonly onTry = (tried: LoggedTry): void => {
    this.tries.push(tried);
  };
  /** Path and query; empty while nothing went upstream. */
  upstreamUri = "";
  upstreamStatus: number | undefined;
  /** As the client gets them; undefined while it got none. */
  sentHeaders: MutableHeaders | undefined;
  /** Bytes of the body that went to the client. */
  sentBytes = 0;

  /** @param head Whether only a head is sent, whatever the body is. */
  constructor(response: DownstreamResponse, head: boolean) {
    if (!head) this.#count(response);
  }

  /** What plugins do with the answer, and then: keeps the headers as they leave them. */
  beside({ work, filter }: AnswerPlugins): AnswerPlugins {
    return {
      work,
      filter: (head) => {
        filter(head);
        this.sentHeaders = head.headers;
      },
    };
  }

  #count(response: DownstreamResponse): void {
    const write = response.write.bind(response);
    const end = response.end.bind(response);
    response.write = (chunk) => {
      this.sentBytes += chunk.length;
      return write(chunk);
    };
    const endSmall = response.endSmall?.bind(response);
    if (endSmall !== undefined)
      response.endSmall = (body) => {
        // It calls the other one, with more than a body.
        response.end = end;
        this.sentBytes += body.length;
        return endSmall(body);
      };
    response.end = (body?: Buffer) => {
      // It may call the other one.
      response.write = write;
      if (body !== undefined) this.sentBytes += body.length;
      return end(body);
    };
  }
}
