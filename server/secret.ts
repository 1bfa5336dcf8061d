/**
 * A value that must not be seen: it prints as [redacted] in logs, JSON, templates and the debugger,
 * and gives itself up only to the one call that says so.
 */
import { inspect } from 'node:util';

const SHOWN = '[redacted]';

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
    Object.defineProperty(this, inspect.custom, { value: () => SHOWN });
  }

  /** The value itself. Call it where the value is used and nowhere else; never store the result. */
  reveal(): string {
    return this.#value;
  }

  /** True for the empty secret: nothing was configured. */
  isEmpty(): boolean {
    return this.#value === '';
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }
}
