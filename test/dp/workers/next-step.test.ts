import { describe, expect, test } from "vitest";
import {
  nextStep,
  type Having,
  type Wanted,
} from "../../../src/dp/workers/next-step.ts";
import { stateOf } from "../../support/states.ts";

const A = stateOf(1);
const B = stateOf(2);
const C = stateOf(3);

const fresh: Having = {
  serving: undefined,
  handed: undefined,
  isListening: false,
};
const nothing: Wanted = {
  serving: undefined,
  next: undefined,
  listens: false,
  anyServes: true,
};

describe("what a worker does next", () => {
  test.each<[string, Partial<Having>, Partial<Wanted>, object]>([
    ["nothing, when nothing is wanted", {}, {}, { type: "wait" }],
    [
      "it prepares what the others serve before it listens",
      {},
      { serving: A, listens: true },
      { type: "prepare", state: A },
    ],
    [
      "it commits what it has prepared when that is what is served",
      { handed: { state: A, prepared: true } },
      { serving: A, listens: true },
      { type: "commit" },
    ],
    [
      "what it is still preparing is asked for again",
      { handed: { state: A, prepared: false } },
      { serving: A },
      { type: "prepare", state: A },
    ],
    [
      "it listens when it serves what the others do",
      { serving: A },
      { serving: A, listens: true },
      { type: "listen" },
    ],
    [
      "without any configuration it listens too, and answers that there is none",
      {},
      { listens: true },
      { type: "listen" },
    ],
    [
      "it does not listen while it lacks what the others have prepared",
      { serving: A },
      { serving: A, next: B, listens: true },
      { type: "prepare", state: B },
    ],
    [
      "nor before it is known whether that will be served",
      { serving: A, handed: { state: B, prepared: true } },
      { serving: A, next: B, listens: true },
      { type: "wait" },
    ],
    [
      "it follows when what is served has changed while it got ready",
      { handed: { state: A, prepared: true } },
      { serving: B, listens: true },
      { type: "prepare", state: B },
    ],
    [
      "with no worker left that serves, the next state is not held up by the one that is to be served",
      {},
      { serving: A, next: B, anyServes: false, listens: true },
      { type: "prepare", state: B },
    ],
    [
      "with one left, it is brought to where that is first",
      {},
      { serving: A, next: B, anyServes: true },
      { type: "prepare", state: A },
    ],
    [
      "one that listens prepares the next state",
      { serving: A, isListening: true },
      { serving: A, next: C, listens: true },
      { type: "prepare", state: C },
    ],
  ])("%s", (_name, has, wanted, step) => {
    expect(nextStep({ ...fresh, ...has }, { ...nothing, ...wanted })).toEqual(
      step,
    );
  });
});
