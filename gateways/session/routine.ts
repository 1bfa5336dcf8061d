/**
 * Routines: work in several steps (a unary call, a resume) as a generator that yields what it asks
 * and is given the answers. Pure, without async: a loop performs the asks, a test answers them by
 * hand. A failed ask is thrown into the routine as a ParleyError.
 */
import type { QueryMethod } from '../../core/query.ts';
import type { Opened } from '../../proto/codec.ts';
import type { Caller, Commit } from './caller.ts';

/** Of an answer: all of it, the outermost message with those inside as bytes, or nothing. */
export type AnswerRead = 'whole' | 'opened' | 'bytes';

export type Ask =
  /** To the broker; `key` decides the store. */
  | ({
      readonly ask: 'query';
      readonly read: AnswerRead;
    } & Question)
  | { readonly ask: 'command'; readonly bytes: Uint8Array }
  /** Answered when most of what was pushed has left for the client; refused when he is gone. */
  | { readonly ask: 'room' }
  | { readonly ask: 'unknown-users'; readonly users: readonly Uint8Array[] }
  | {
      readonly ask: 'identity';
      readonly method: string;
      readonly caller: Caller | undefined;
      readonly request: object;
    };

/** Asks of one yield are performed together; the answers come in their order. */
export type Routine<T> = Generator<readonly Ask[], T, readonly unknown[]>;

export interface Question {
  readonly method: QueryMethod;
  readonly key: Uint8Array;
  readonly caller: Caller;
  readonly request: object;
}

/** A query whose answer is read. */
export function* query<T>(question: Question): Routine<T> {
  const [answer] = yield [{ ask: 'query', read: 'whole', ...question }];
  // The loop decodes by the method's descriptor: the type is the method's response.
  return answer as T;
}

/** A query whose answer is mostly passed on: the messages inside stay bytes. */
export function* openedQuery<T>(question: Question): Routine<Opened<T>> {
  const [answer] = yield [{ ask: 'query', read: 'opened', ...question }];
  return answer as Opened<T>;
}

/** A query whose answer goes to the caller as it is. */
export function* passOn(question: Question): Routine<Uint8Array> {
  const [answer] = yield [{ ask: 'query', read: 'bytes', ...question }];
  return answer as Uint8Array;
}

export function* command(bytes: Uint8Array): Routine<Commit> {
  const [answer] = yield [{ ask: 'command', bytes }];
  return answer as Commit;
}

/** Between pages that are pushed: who reads slowly is waited for, not sent away for it. */
export function* room(): Routine<void> {
  yield [{ ask: 'room' }];
}

export function* unknownUsers(users: readonly Uint8Array[]): Routine<readonly Uint8Array[]> {
  if (users.length === 0) return [];
  const [answer] = yield [{ ask: 'unknown-users', users }];
  return answer as readonly Uint8Array[];
}
