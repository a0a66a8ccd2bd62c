/** Does the rest at once, or when what is waited for is done. */
export function andThen(
  done: void | Promise<void>,
  rest: () => void,
): void | Promise<void> {
  if (done === undefined) rest();
  else return done.then(rest);
}
