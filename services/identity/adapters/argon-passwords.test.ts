import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { ParleyError } from '../../../core/errors.ts';
import { ArgonPasswords } from './argon-passwords.ts';

const open: ArgonPasswords[] = [];

function newPasswords(passwordQueueMax: number, idleMs = 30_000): ArgonPasswords {
  const passwords = new ArgonPasswords({ threads: 1, passwordQueueMax, idleMs });
  open.push(passwords);
  return passwords;
}

describe('password hashing', function () {
  this.timeout(10_000);
  afterEach(async () => {
    await Promise.all(open.splice(0).map((passwords) => passwords.stop()));
  });

  it('R095 is argon2id with 19 MiB and two passes, salted', async () => {
    const passwords = newPasswords(8);
    const [a, b] = await Promise.all([passwords.hash('geheim🔑'), passwords.hash('geheim🔑')]);
    assert.match(a, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.notEqual(a, b);
    assert.equal(await passwords.verify(a, 'geheim🔑'), true);
    assert.equal(await passwords.verify(a, 'geheim'), false);
  });

  it('takes as many as its queue holds, and refuses the next with a time to wait', async () => {
    const passwords = newPasswords(3);
    const all = await Promise.allSettled(Array.from({ length: 8 }, () => passwords.hash('x')));
    const refused = all.flatMap((each): unknown[] =>
      each.status === 'rejected' ? [each.reason] : [],
    );
    // One runs, three wait.
    assert.equal(refused.length, 4);
    for (const error of refused) {
      assert.ok(error instanceof ParleyError && error.reason === 'OVERLOADED');
      assert.ok((error.retryAfterMs ?? 0) > 0);
    }
    await passwords.hash('later it is free again');
  });

  it('its thread ends when idle and comes back when needed', async () => {
    const passwords = newPasswords(3, 1);
    const hash = await passwords.hash('x');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(await passwords.verify(hash, 'x'), true);
  });

  it('a hash that cannot be read is a fault of ours and ends nothing', async () => {
    const passwords = newPasswords(3);
    await assert.rejects(
      passwords.verify('$argon2id$broken', 'x'),
      (thrown) => thrown instanceof ParleyError && thrown.reason === 'INVARIANT',
    );
    await passwords.hash('x');
  });

  it('stopping refuses what waits and what comes', async () => {
    const passwords = newPasswords(8);
    const waiting = Promise.allSettled(Array.from({ length: 4 }, () => passwords.hash('x')));
    await passwords.stop();
    for (const each of await waiting)
      assert.ok(each.status === 'rejected' && each.reason instanceof ParleyError);
    await assert.rejects(passwords.hash('x'), ParleyError);
  });
});
