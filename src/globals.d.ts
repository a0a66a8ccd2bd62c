// The declarations of @connectrpc/connect use this name as a global; Node 20's types do not declare it.
type HeadersInit = import("undici-types").HeadersInit;

// So do those of @peculiar/x509, with what browsers have for cryptography, and Node in a namespace.
type Algorithm = import("node:crypto").webcrypto.Algorithm;
type AlgorithmIdentifier = import("node:crypto").webcrypto.AlgorithmIdentifier;
type BufferSource = import("node:crypto").webcrypto.BufferSource;
type Crypto = import("node:crypto").webcrypto.Crypto;
type CryptoKey = import("node:crypto").webcrypto.CryptoKey;
type CryptoKeyPair = import("node:crypto").webcrypto.CryptoKeyPair;
type EcKeyGenParams = import("node:crypto").webcrypto.EcKeyGenParams;
type EcKeyImportParams = import("node:crypto").webcrypto.EcKeyImportParams;
type EcdsaParams = import("node:crypto").webcrypto.EcdsaParams;
type KeyUsage = import("node:crypto").webcrypto.KeyUsage;
type RsaHashedImportParams =
  import("node:crypto").webcrypto.RsaHashedImportParams;
