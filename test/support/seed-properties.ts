/**
 * Where HOLDFAST_TEST_SEED is set, property tests draw from it too, so that a whole run can be had again. Where it is not,
 * fast-check takes a seed of its own and prints it with a failure.
 */
const seed = process.env["HOLDFAST_TEST_SEED"];
if (seed !== undefined) {
  const fc = await import("fast-check");
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) });
}

export {};
