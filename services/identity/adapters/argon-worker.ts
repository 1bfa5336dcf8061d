/**
 * The thread that hashes passwords: argon2id, 19 MiB, 2 passes (OWASP's first choice), one at a time
 * and synchronously, so that the libuv pool stays free for the state store.
 */
import { parentPort } from 'node:worker_threads';
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

const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

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
