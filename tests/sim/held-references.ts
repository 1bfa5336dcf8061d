/**
 * When the collector runs is in no seed, so nothing that a world does may depend on it: here weak
 * references hold what they refer to, and what an application lets go of is never made anew.
 */
class HeldReference<T extends WeakKey> implements WeakRef<T> {
  readonly [Symbol.toStringTag] = 'WeakRef';
  readonly #held: T;

  constructor(held: T) {
    this.#held = held;
  }

  deref(): T {
    return this.#held;
  }
}

export function holdReferences(): void {
  Object.defineProperty(globalThis, 'WeakRef', { value: HeldReference, configurable: true });
}
