/**
 * The thread that hashes passwords: argon2id, by default 19 MiB, 2 passes (OWASP's first choice), one at a time
 * and synchronously, so that the libuv pool stays free for the state store.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { hashSync, verifySync } from '@node-rs/argon2';
import { invariant } from '../../../core/invariant.ts';

/** Asked of the thread: `passwordHash` empty = make one. */
export interface ArgonJob {
  readonly id: number;
  readonly password: string;
  readonly passwordHash: string;
}

/** `failure` names what went wrong, never what it went wrong with. */
export interface ArgonAnswer {
  readonly id: number;
  readonly passwordHash: string;
  readonly isRight: boolean;
  readonly failure: string;
}

/** What the thread is started with. */
export interface ArgonThreadOptions {
  readonly memoryKib: number;
}

// Only ArgonPasswords starts this thread.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const { memoryKib } = workerData as ArgonThreadOptions;
const COST = { memoryCost: memoryKib, timeCost: 2, parallelism: 1 };

invariant(parentPort !== null, 'argon-worker.is-a-thread');
const port = parentPort;
port.on('message', (job: ArgonJob) => port.postMessage(answerTo(job)));

function answerTo({ id, password, passwordHash }: ArgonJob): ArgonAnswer {
  try {
    if (passwordHash === '')
      return { id, passwordHash: hashSync(password, COST), isRight: false, failure: '' };
    const isRight = verifySync(passwordHash, password);
    return { id, passwordHash: '', isRight, failure: '' };
  } catch (thrown) {
    const failure = thrown instanceof Error ? thrown.name : 'error';
    return { id, passwordHash: '', isRight: false, failure };
  }
}
