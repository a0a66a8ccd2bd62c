import { expect, test } from "vitest";
import {
  FIRST_WORDS_BYTES,
  hasGreeting,
  hasPreface,
} from "../../src/runtime/first-words.ts";

const record = (announced: number, there: number): Buffer =>
  Buffer.concat([
    Buffer.from([0x16, 0x03, 0x01, announced >> 8, announced & 0xff]),
    Buffer.alloc(there),
  ]);

test("a TLS greeting is there when its record is, up to the largest", () => {
  const whole = record(300, 300);
  for (let bytes = 0; bytes < whole.length; bytes++)
    expect(hasGreeting(whole.subarray(0, bytes))).toBe(false);
  expect(hasGreeting(whole)).toBe(true);
  expect(hasGreeting(record(300, 400))).toBe(true);
  expect(hasGreeting(record(16_384, 16_383))).toBe(false);
  expect(hasGreeting(record(16_384, 16_384))).toBe(true);
  expect(record(16_384, 16_384)).toHaveLength(FIRST_WORDS_BYTES);
});

test("what is no greeting is not waited for, once that is certain", () => {
  expect(hasGreeting(Buffer.from("GET "))).toBe(false);
  expect(hasGreeting(Buffer.from("GET /"))).toBe(true);
  expect(hasGreeting(Buffer.from([0x16, 0x04, 0, 0, 9]))).toBe(true);
  expect(hasGreeting(record(16_385, 0))).toBe(true);
});

test("an HTTP/2 preface is there with its last byte, and what is none at its first other one", () => {
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  for (let bytes = 0; bytes < preface.length; bytes++)
    expect(hasPreface(preface.subarray(0, bytes))).toBe(false);
  expect(hasPreface(preface)).toBe(true);
  expect(hasPreface(Buffer.concat([preface, Buffer.alloc(9)]))).toBe(true);
  expect(hasPreface(Buffer.from("PRX"))).toBe(true);
});
