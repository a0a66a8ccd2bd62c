import js from "@eslint/js";
import { builtinModules } from "node:module";
import path from "node:path";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

/** @typedef {"gen" | "model" | "sync" | "runtime" | "cp" | "dp" | "cli"} Folder */

/**
 * cli -> cp, dp -> runtime, sync -> model -> gen. Each folder of src may import itself and what is named here.
 *
 * @type {Record<Folder, Folder[]>}
 */
const mayImport = {
  gen: [],
  model: ["gen"],
  sync: ["model", "gen"],
  runtime: ["model", "gen"],
  cp: ["runtime", "sync", "model", "gen"],
  dp: ["runtime", "sync", "model", "gen"],
  cli: ["cp", "dp", "runtime", "sync", "model", "gen"],
};

const folders = /** @type {Folder[]} */ (Object.keys(mayImport));

/**
 * Folders whose code waits for nothing, reads no clock and cannot fail for outside reasons.
 *
 * @type {Folder[]}
 */
const pure = ["model", "sync"];

/**
 * The rules of one folder of src, in one piece: ESLint replaces a rule's options, it does not add to them.
 *
 * @param {Folder} folder
 * @returns {import("eslint").Linter.Config}
 */
function layer(folder) {
  const isPure = pure.includes(folder);
  const isCli = folder === "cli";
  const closed = folders.filter(
    (other) => other !== folder && !mayImport[folder].includes(other),
  );
  const message = `src/${folder} may import ${["itself", ...mayImport[folder].map((other) => `src/${other}`)].join(", ")} and no other folder of src.`;

  const patterns = [
    ...(closed.length > 0
      ? [{ regex: String.raw`^(\.\.?/)+(${closed.join("|")})/`, message }]
      : []),
    ...(isPure ? pureImports.patterns : []),
  ];
  const paths = [
    ...(isPure ? pureImports.paths : []),
    ...(isCli || isPure ? [] : processImports),
  ];
  return {
    files: [`src/${folder}/**/*.ts`],
    rules: {
      "no-restricted-imports": ["error", { paths, patterns }],
      "no-restricted-properties": [
        "error",
        ...(isCli ? [] : processProperties),
        ...(isPure ? pureProperties : []),
      ],
      "no-restricted-globals": ["error", ...(isPure ? pureGlobals : [])],
      "no-restricted-syntax": [
        "error",
        ...(closed.length > 0
          ? [
              dynamicImport(
                String.raw`^[.]{1,2}\x2F.*\b(${closed.join("|")})\x2F`,
                message,
              ),
            ]
          : []),
        ...(isPure ? pureSyntax : []),
      ],
      "no-console": isCli ? "off" : "error",
    },
  };
}

/**
 * `import("…")`, as an expression and as a type: no-restricted-imports sees neither.
 *
 * @param {string} source A regular expression without a slash.
 * @param {string} message
 */
function dynamicImport(source, message) {
  return {
    selector: `:matches(ImportExpression[source.value=/${source}/], TSImportType[source.value=/${source}/])`,
    message,
  };
}

const readsWorld =
  "This folder is pure: time, chance and the outside are parameters of its caller.";

const pureImports = {
  paths: ["node:crypto", "crypto"].map((name) => ({
    name,
    allowImportNames: [
      "createHash",
      "createHmac",
      "hash",
      "timingSafeEqual",
      "Hash",
      "Hmac",
      "KeyObject",
      "X509Certificate",
      "createPrivateKey",
      "createPublicKey",
      // Ed25519 signatures: what is signed and the key decide every bit of them.
      "sign",
      "verify",
    ],
    message:
      "Only hashes, signatures and reading keys: a random value is a parameter.",
  })),
  patterns: [
    {
      regex: String.raw`^(node:(?!crypto$)|(${builtinModules.filter((name) => name !== "crypto" && !name.startsWith("_")).join("|")})$)`,
      message: readsWorld,
    },
    {
      regex: "^(@connectrpc|@grpc)/|^(http-proxy|level|pino|prom-client)(/|$)",
      message: readsWorld,
    },
  ],
};

const pureGlobals = [
  "console",
  "crypto",
  "fetch",
  "global",
  "globalThis",
  "performance",
  "process",
  "queueMicrotask",
  "require",
  "clearImmediate",
  "clearInterval",
  "clearTimeout",
  "setImmediate",
  "setInterval",
  "setTimeout",
].map((name) => ({ name, message: readsWorld }));

const pureProperties = [
  { object: "Date", property: "now", message: readsWorld },
  { object: "Math", property: "random", message: readsWorld },
  { object: "AbortSignal", property: "timeout", message: readsWorld },
];

const pureSyntax = [
  {
    selector:
      ":matches(NewExpression[arguments.length=0], CallExpression)[callee.name='Date']",
    message: readsWorld,
  },
  { selector: "ImportExpression", message: readsWorld },
];

const onlyCli =
  "Only src/cli reads the environment and the arguments; hand the value in as an option.";

const processProperties = ["env", "argv"].map((property) => ({
  object: "process",
  property,
  message: onlyCli,
}));

const processImports = ["node:process", "process"].map((name) => ({
  name,
  importNames: ["env", "argv"],
  message: onlyCli,
}));

export default defineConfig(
  globalIgnores([
    "dist/",
    "coverage/",
    "holdfast-data/",
    "src/gen/",
    // Made where the examples are tried.
    "examples/clients/*/gen/",
    "examples/clients/*/.venv/",
    // Packages of their own.
    "examples/plugin/",
  ]),
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: true,
        tsconfigRootDir: path.join(import.meta.dirname, ".."),
      },
    },
    rules: {
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true },
      ],
      // Async generators and implementations of async interfaces need not await.
      "@typescript-eslint/require-await": "off",
    },
  },
  folders.filter((folder) => folder !== "gen").map(layer),
  {
    files: ["test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-empty-function": "off",
      "@typescript-eslint/no-confusing-void-expression": [
        "error",
        { ignoreArrowShorthand: true },
      ],
    },
  },
  {
    // Plain scripts: the compiler checks their names, with Node's types.
    files: ["**/*.{js,mjs}"],
    rules: { "no-undef": "off" },
  },
);
