import { configureTextEncoding } from "@bufbuild/protobuf/wire";

const encoder = new TextEncoder();
// Without ignoreBOM a text that begins with U+FEFF would lose it when it is decoded: what is read would not be what is stored.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", {
  ignoreBOM: true,
  fatal: true,
});

configureTextEncoding({
  encodeUtf8: (text) => encoder.encode(text),
  decodeUtf8: (bytes, strict = false) =>
    (strict ? strictDecoder : decoder).decode(bytes),
  checkUtf8: (text) => !/\p{Surrogate}/u.test(text),
});
