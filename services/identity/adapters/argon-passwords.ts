/**
 * Password hashing on threads of its own. The queue is bounded, because each check costs 15 ms of a
 * core and everybody may ask for one. A thread is started when needed and ends when idle: between
 * sign-ins it costs no memory.
 */
import { Worker } from 'node:worker_threads';
import { BoundedQueue } from '../../../core/bounded-queue.ts';
import { ParleyError } from '../../../core/errors.ts';
import type { Passwords } from '../ports.ts';
import type { ArgonAnswer, ArgonJob, ArgonThreadOptions } from './argon-worker.ts';

export interface ArgonOptions {
  /** One per two cores; more would slow what acknowledges messages. */
  readonly threads: number;
  /** Waiting jobs; the next gets OVERLOADED. */
  readonly passwordQueueMax: number;
  /** Memory of one hash; what was hashed with another amount still verifies. */
  readonly memoryKib?: number;
  readonly idleMs?: number;
}

interface Job {
  readonly job: ArgonJob;
  readonly resolve: (answer: ArgonAnswer) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  running: Job | undefined;
  idle: NodeJS.Timeout | undefined;
}

const MEMORY_KIB = 19_456;
const IDLE_MS = 30_000;
/** For retryAfterMs: what one check takes at least. */
const JOB_MS = 15;

export class ArgonPasswords implements Passwords {
  readonly #options: ArgonOptions;
  readonly #queue: BoundedQueue<Job>;
  readonly #threads = new Set<Thread>();
  #lastId = 0;
  #isStopped = false;

  constructor(options: ArgonOptions) {
    this.#options = options;
    this.#queue = new BoundedQueue(options.passwordQueueMax);
  }

  async hash(password: string): Promise<string> {
    const { passwordHash } = await this.#run(password, '');
    return passwordHash;
  }

  async verify(passwordHash: string, password: string): Promise<boolean> {
    const { isRight } = await this.#run(password, passwordHash);
    return isRight;
  }

  /** Ends the threads; what waits is refused. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift())
      job.reject(stopping());
    await Promise.all([...this.#threads].map((thread) => this.#end(thread)));
  }

  async #run(password: string, passwordHash: string): Promise<ArgonAnswer> {
    if (this.#isStopped) throw stopping();
    const id = ++this.#lastId;
    const answer = await new Promise<ArgonAnswer>((resolve, reject) => {
      const isTaken = this.#queue.push({ job: { id, password, passwordHash }, resolve, reject });
      if (isTaken) this.#next();
      else reject(this.#overloaded());
    });
    if (answer.failure === '') return answer;
    throw new ParleyError('INVARIANT', `a password hash could not be used (${answer.failure})`);
  }

  /** Gives waiting jobs to idle threads, starting one if there are too few. */
  #next(): void {
    while (this.#queue.size > 0) {
      let thread = [...this.#threads].find((each) => each.running === undefined);
      if (thread === undefined && this.#threads.size < this.#options.threads)
        thread = this.#startThread();
      const job = thread === undefined ? undefined : this.#queue.shift();
      if (thread === undefined || job === undefined) return;
      clearTimeout(thread.idle);
      thread.running = job;
      thread.worker.ref();
      thread.worker.postMessage(job.job);
    }
  }

  #startThread(): Thread {
    const options: ArgonThreadOptions = { memoryKib: this.#options.memoryKib ?? MEMORY_KIB };
    const worker = new Worker(new URL('./argon-worker.js', import.meta.url), {
      workerData: options,
    });
    const thread: Thread = { worker, running: undefined, idle: undefined };
    worker.unref();
    worker.on('message', (answer: ArgonAnswer) => this.#answered(thread, answer));
    worker.on('error', (cause) => this.#lost(thread, cause));
    worker.on('exit', () => this.#lost(thread, undefined));
    this.#threads.add(thread);
    return thread;
  }

  #answered(thread: Thread, answer: ArgonAnswer): void {
    const { running } = thread;
    thread.running = undefined;
    thread.worker.unref();
    const idleMs = this.#options.idleMs ?? IDLE_MS;
    thread.idle = setTimeout(() => void this.#end(thread), idleMs).unref();
    running?.resolve(answer);
    this.#next();
  }

  /** A thread that ended on its own fails its job; the others go on with the next thread. */
  #lost(thread: Thread, cause: Error | undefined): void {
    if (!this.#threads.delete(thread)) return;
    clearTimeout(thread.idle);
    thread.running?.reject(
      new ParleyError(
        'OVERLOADED',
        'the password thread ended',
        {},
        { cause, retryAfterMs: 1_000 },
      ),
    );
    if (!this.#isStopped) this.#next();
  }

  async #end(thread: Thread): Promise<void> {
    if (!this.#threads.delete(thread)) return;
    clearTimeout(thread.idle);
    thread.running?.reject(stopping());
    await thread.worker.terminate();
  }

  #overloaded(): ParleyError {
    const retryAfterMs = Math.ceil((this.#queue.size * JOB_MS) / this.#options.threads);
    return new ParleyError('OVERLOADED', 'too many sign-ins at once', {}, { retryAfterMs });
  }
}

function stopping(): ParleyError {
  return new ParleyError('DRAINING', 'the server is stopping');
}
