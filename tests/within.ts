/** Times that the contract promises, on machines that are shared: what the machine stood still does not count. */
import assert from 'node:assert/strict';

const LOOK_MS = 10;

/** Fails unless `work` ends within `ms`, not counting stretches in which this process did not run. */
export async function within<T>(ms: number, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  let stoodStillMs = 0;
  let looked = began;
  const look = (): void => {
    const now = performance.now();
    stoodStillMs += Math.max(0, now - looked - 2 * LOOK_MS);
    looked = now;
  };
  const timer = setInterval(look, LOOK_MS);
  try {
    const result = await work();
    look();
    const tookMs = performance.now() - began - stoodStillMs;
    assert.ok(tookMs < ms, `took ${Math.round(tookMs)} ms of ${ms}`);
    return result;
  } finally {
    clearInterval(timer);
  }
}
