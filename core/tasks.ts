/**
 * Background work with a name, a bound and an end. No promise floats: what must not be awaited at
 * once is run here, its failure is reported, and `stop` waits for it.
 */
import { ParleyError } from './errors.ts';
import type { Logger } from './observe.ts';

export class Tasks {
  readonly #running = new Set<Promise<void>>();
  readonly #max: number;
  readonly #log: Logger;
  readonly #failed: (name: string, error: unknown) => void;
  #stopping = false;

  /** `failed` decides what a failure means; by default it is logged and the process goes on. */
  constructor(options: {
    readonly max: number;
    readonly log: Logger;
    readonly failed?: (name: string, error: unknown) => void;
  }) {
    this.#max = options.max;
    this.#log = options.log;
    this.#failed =
      options.failed ??
      ((name, error) => this.#log.error('task failed', { task: name, cause: String(error) }));
  }

  get count(): number {
    return this.#running.size;
  }

  /** Starts `work`. Throws OVERLOADED when `max` are running, DRAINING after `stop`. */
  run(name: string, work: () => Promise<void>): void {
    if (this.#stopping)
      throw new ParleyError('DRAINING', `${name} was not started: the server is stopping`);
    if (this.#running.size >= this.#max)
      throw new ParleyError(
        'OVERLOADED',
        `${name} was not started: too much is under way`,
        {},
        { retryAfterMs: 1000 },
      );
    const task = work().then(
      () => undefined,
      (error: unknown) => this.#failed(name, error),
    );
    const tracked = task.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  /** Refuses new work and waits for what runs. The caller bounds it with a deadline. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.allSettled(this.#running);
  }
}
