/** Observable values (CLIENT §1): `get()` is the same object until the value changes. */
import type { Store } from './client-interface.ts';

/** A value set by its owner. */
export class Cell<T> implements Store<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();
  readonly #isEqual: (a: T, b: T) => boolean;

  constructor(value: T, isEqual: (a: T, b: T) => boolean = Object.is) {
    this.#value = value;
    this.#isEqual = isEqual;
  }

  get(): T {
    return this.#value;
  }

  set(value: T): void {
    if (this.#isEqual(this.#value, value)) return;
    this.#value = value;
    tell(this.#listeners);
  }

  subscribe(fn: () => void): () => void {
    return listen(this.#listeners, fn);
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }
}

/** A value computed from others when asked for; whoever changes those calls `invalidate`. */
export class Derived<T> implements Store<T> {
  readonly #compute: () => T;
  readonly #isEqual: (a: T, b: T) => boolean;
  readonly #listeners = new Set<() => void>();
  #value: T | undefined;
  #isFresh = false;

  constructor(compute: () => T, isEqual: (a: T, b: T) => boolean = isShallowEqual) {
    this.#compute = compute;
    this.#isEqual = isEqual;
  }

  get(): T {
    if (!this.#isFresh) {
      const next = this.#compute();
      if (this.#value === undefined || !this.#isEqual(this.#value, next)) this.#value = next;
      this.#isFresh = true;
    }
    return this.#value as T;
  }

  invalidate(): void {
    const before = this.#value;
    this.#isFresh = false;
    // Unwatched values are computed when somebody asks.
    if (this.#listeners.size > 0 && this.get() !== before) tell(this.#listeners);
  }

  subscribe(fn: () => void): () => void {
    return listen(this.#listeners, fn);
  }
}

export function isShallowEqual<T>(a: T, b: T): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && Object.is(left[key], right[key]))
  );
}

function listen(listeners: Set<() => void>, fn: () => void): () => void {
  // Each subscription is its own, even of one function twice.
  const own = (): void => fn();
  listeners.add(own);
  return () => listeners.delete(own);
}

function tell(listeners: ReadonlySet<() => void>): void {
  for (const fn of [...listeners]) guarded(fn);
}

/** An application's mistake is the application's to hear of: nothing here stops for it. */
export function guarded(fn: () => void): void {
  try {
    fn();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
