/** Observable values (CLIENT §1): `get()` is the same object until the value changes. */
import type { Store } from './client-interface.ts';

/**
 * Hears when somebody begins to look (1) and when nobody does any more (-1). Whoever holds the value
 * holds this as well, and what it closes over: its owner lives as long as the value is of use.
 */
export type Watch = (by: 1 | -1) => void;

/** A value set by its owner. */
export class Cell<T> implements Store<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();
  readonly #isEqual: (a: T, b: T) => boolean;
  #watch: Watch | undefined;

  constructor(value: T, isEqual: (a: T, b: T) => boolean = Object.is, watch?: Watch) {
    this.#value = value;
    this.#isEqual = isEqual;
    this.#watch = watch;
  }

  /** Of a value that was made before its owner. The first stays. */
  watchedBy(watch: Watch): void {
    if (this.#watch !== undefined) return;
    this.#watch = watch;
    if (this.isWatched) watch(1);
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
    return listen(this.#listeners, fn, (by) => this.#watch?.(by));
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }
}

/** A value computed from others when asked for; whoever changes those calls `invalidate`. */
export class Derived<T> implements Store<T> {
  readonly #compute: () => T;
  readonly #listeners = new Set<() => void>();
  readonly #watch: Watch | undefined;
  #value: T | undefined;
  #isFresh = false;

  constructor(compute: () => T, watch?: Watch) {
    this.#compute = compute;
    this.#watch = watch;
  }

  get(): T {
    if (!this.#isFresh) {
      const next = this.#compute();
      if (this.#value === undefined || !isShallowEqual(this.#value, next)) this.#value = next;
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
    return listen(this.#listeners, fn, this.#watch);
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

function listen(listeners: Set<() => void>, fn: () => void, watch?: Watch): () => void {
  // Each subscription is its own, even of one function twice.
  const own = (): void => fn();
  listeners.add(own);
  if (listeners.size === 1) watch?.(1);
  return () => {
    if (listeners.delete(own) && listeners.size === 0) watch?.(-1);
  };
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
