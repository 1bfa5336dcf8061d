import assert from 'node:assert/strict';
import type { ConnectionState } from '@parley/sdk';
import { describe, it } from 'mocha';
import { Announcer } from './announcer.ts';
import { statusOf, statusText } from './status.ts';

const LIVE: ConnectionState = {
  phase: 'live',
  slow: false,
  readOnly: false,
  saved: true,
  follower: false,
};

describe('status', () => {
  it('a short break is not worth a word', () => {
    assert.equal(statusOf({ ...LIVE, phase: 'offline' }, 2, false), undefined);
    assert.equal(statusOf({ ...LIVE, phase: 'catching-up' }, 0, false), undefined);
    assert.equal(statusOf(LIVE, 0, true), undefined);
  });

  it('offline tells how many wait', () => {
    const status = statusOf({ ...LIVE, phase: 'offline' }, 2, true);
    assert.deepEqual(status, { is: 'offline', waiting: 2 });
    assert.equal(status && statusText(status), 'Offline, 2 waiting');
    assert.equal(statusText({ is: 'offline', waiting: 0 }), 'Offline');
  });

  it('another tab and broken storage speak at once', () => {
    const follower = { ...LIVE, phase: 'stopped', readOnly: true, follower: true } as const;
    assert.equal(statusOf(follower, 0, false)?.is, 'follower');
    assert.equal(statusOf({ ...LIVE, saved: false }, 0, false)?.is, 'not-saved');
    assert.equal(statusOf({ ...LIVE, readOnly: true }, 0, false)?.is, 'read-only');
  });
});

describe('announcements', () => {
  it('the first arrival speaks at once, what follows waits and is told as one', () => {
    const said: string[] = [];
    const announcer = new Announcer((text) => said.push(text));
    for (const text of ['a', 'b', 'c']) announcer.arrived(text);
    announcer.stop();
    assert.deepEqual(said, ['a']);
  });
});
