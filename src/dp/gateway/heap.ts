import { setFlagsFromString } from "node:v8";

/**
 * V8 learns where objects are made that mostly live long, and makes those in the heap's old space at once. What is made
 * for a request lives as long as that: dozens of requests are under way at every collection of the young space, V8 takes
 * their objects for ones that live long, and from then on each request fills the old space, until a full collection has to
 * go through a whole configuration.
 */
export const REQUESTS_STAY_YOUNG = "--no-allocation-site-pretenuring";

/** Has this process make what requests need in the young space. What runs already goes over to that by and by. */
export function keepRequestsYoung(): void {
  setFlagsFromString(REQUESTS_STAY_YOUNG);
}
