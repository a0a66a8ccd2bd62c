import { optional } from "./flags.ts";
import { text } from "./value-types.ts";

/** What is kept in the history with a change. */
export const recordFlags = {
  author: optional(text("NAME"), {
    summary: "Who makes the change, kept in the history.",
  }),
  message: optional(text("TEXT"), {
    summary: "Why it is made, kept in the history.",
  }),
};
