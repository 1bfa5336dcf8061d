/** Listeners of `client.on`: side effects, never state. */
import type { Events } from './client-interface.ts';
import { guarded } from './store.ts';

type Listeners = { [E in keyof Events]: Set<(x: Events[E]) => void> };

export class Emitter {
  readonly #listeners: Listeners = {
    message: new Set(),
    failed: new Set(),
    removed: new Set(),
    signedOut: new Set(),
    replaced: new Set(),
  };

  on<E extends keyof Events>(event: E, fn: (x: Events[E]) => void): () => void {
    const listeners: Set<(x: Events[E]) => void> = this.#listeners[event];
    listeners.add(fn);
    return () => listeners.delete(fn);
  }

  emit<E extends keyof Events>(event: E, value: Events[E]): void {
    for (const fn of [...this.#listeners[event]]) guarded(() => fn(value));
  }

  has(event: keyof Events): boolean {
    return this.#listeners[event].size > 0;
  }
}
