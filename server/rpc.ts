/**
 * Calls between threads of the process that are not on the hot path: identity, health, metrics.
 * A MessagePort carries {id, method, argument} one way and {id, result | error} back. Errors arrive
 * as the ParleyErrors that they were; anything else becomes INVARIANT and is logged where it was thrown.
 */
import type { MessagePort } from 'node:worker_threads';
import { ParleyError, toParleyError } from '../core/errors.ts';
import { decodeError, encodeError } from '../core/link-payload.ts';
import type { Logger } from '../core/observe.ts';

const PENDING_MAX = 4096;
const DEADLINE_MS = 30_000;

interface Request {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

interface Response {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: Uint8Array;
}

/** Answers calls for `target` that arrive on the port: an object whose methods take and return structured-cloneable values. */
export function serveCalls(port: MessagePort, target: object, log: Logger): void {
  port.on('message', (request: Request) => {
    void answer(target, request, log).then((response) => port.postMessage(response));
  });
}

async function answer(target: object, request: Request, log: Logger): Promise<Response> {
  try {
    const method: unknown = Reflect.get(target, request.method);
    if (typeof method !== 'function')
      throw new ParleyError('PROTOCOL_UNSUPPORTED', `no method ${request.method}`);
    const result: unknown = await Reflect.apply(method, target, request.args);
    return { id: request.id, result };
  } catch (error) {
    const refusal = toParleyError(error);
    if (refusal.reason === 'INVARIANT')
      log.error('call failed', { method: request.method, cause: String(refusal.cause) });
    return { id: request.id, error: encodeError(refusal) };
  }
}

/** Arguments that are moved to the other thread, not copied. */
const moved = new WeakSet<object>();

/** Marks a port as an argument that moves with its call. */
export function transferred(port: MessagePort): MessagePort {
  moved.add(port);
  return port;
}

export interface CallOptions<T> {
  /**
   * Methods whose length nobody can tell beforehand and that end by themselves, or with the process
   * when the other thread ends: these have no deadline.
   */
  readonly unbounded?: readonly (keyof T & string)[];
  /** For every other method. */
  readonly deadlineMs?: number;
}

/** A proxy of what the other side serves. Every method returns a promise. */
export function callsTo<T extends object>(port: MessagePort, options: CallOptions<T> = {}): T {
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const unbounded = new Set<string>(options.unbounded);
  const pending = new Map<
    number,
    {
      done: (value: unknown) => void;
      fail: (error: unknown) => void;
      timer: NodeJS.Timeout | undefined;
    }
  >();
  let next = 1;
  port.on('message', (response: Response) => {
    const call = pending.get(response.id);
    if (call === undefined) return;
    pending.delete(response.id);
    clearTimeout(call.timer);
    if (response.error === undefined) call.done(response.result);
    else call.fail(decodeError(response.error));
  });
  const invoke = (method: string, args: readonly unknown[]): Promise<unknown> => {
    if (pending.size >= PENDING_MAX)
      return Promise.reject(
        new ParleyError('OVERLOADED', 'too many calls are under way', {}, { retryAfterMs: 1000 }),
      );
    const id = next++;
    return new Promise((done, fail) => {
      const late = (): void => {
        pending.delete(id);
        fail(new ParleyError('DEADLINE', `${method} took longer than ${deadlineMs} ms`));
      };
      const timer = unbounded.has(method) ? undefined : setTimeout(late, deadlineMs).unref();
      pending.set(id, { done, fail, timer });
      const transfer = args.filter(
        (arg): arg is MessagePort => typeof arg === 'object' && arg !== null && moved.has(arg),
      );
      port.postMessage({ id, method, args } satisfies Request, transfer);
    });
  };
  return new Proxy({} as T, {
    get: (_target, name) =>
      // A proxy must not look like a promise, or awaiting it would call `then` over there.
      typeof name === 'symbol' || name === 'then'
        ? undefined
        : (...args: unknown[]) => invoke(name, args),
  });
}
