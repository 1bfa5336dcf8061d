/**
 * What tests of this room share: seeded randomness, a hand-moved clock, keys. Also for the tests of
 * other rooms and the simulator; nothing in the product imports it.
 */
import type { Clock, Random } from '../core/clock.ts';
import type { DataKey, KeyPurpose } from './key-ring.ts';
import type { KeyEncryptionKey } from './key-file.ts';

/** Repeatable numbers from a seed (xorshift32): the same seed, the same run. */
export function seededRandom(seed: number): Random {
  // Small seeds are spread first: xorshift would begin with small numbers.
  let state = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return {
    unit: () => next() / 2 ** 32,
    bytes: (count) => Uint8Array.from({ length: count }, () => next() >>> 24),
  };
}

/** A clock that stands until it is moved. */
export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function manualClock(startMs: number = 1_700_000_000_000): ManualClock {
  let elapsed = 0;
  return {
    nowMs: () => startMs + elapsed,
    monotonicMs: () => elapsed,
    advance: (ms) => {
      elapsed += ms;
    },
  };
}

/** A key-encryption key that lies nowhere. */
export function testKek(seed: number = 7): KeyEncryptionKey {
  return {
    path: '/elsewhere/parley.key',
    secret: seededRandom(seed).bytes(32),
    created: false,
  };
}

export function testDataKey(purpose: KeyPurpose, number: number): DataKey {
  return { purpose, number, secret: seededRandom(1000 + number).bytes(32) };
}

export interface TestKeys {
  find(purpose: KeyPurpose, number: number): DataKey | undefined;
}

/** Knows every test data key. */
export const TEST_KEYS: TestKeys = { find: (purpose, number) => testDataKey(purpose, number) };
