import assert from 'node:assert/strict';
import type { MessageRef, MessageRow, SendState } from '@parley/sdk';
import { describe, it } from 'mocha';
import { failureOf } from './failure.ts';

const ROW: MessageRow = {
  is: 'message',
  key: 'k',
  sequence: 1,
  timeMs: 0,
  sender: 'usr_ana',
  mine: true,
  deleted: false,
  edited: false,
  reactions: [],
};

describe('failure of a row', () => {
  it('what is still on its way has not failed', () => {
    assert.equal(failureOf(ROW), undefined);
    assert.equal(
      failureOf({ ...ROW, change: refIn({ is: 'SENDING', step: 'queued' }) }),
      undefined,
    );
  });

  it('a refused change says so, and whether it can be tried again', () => {
    const change = refIn({ is: 'FAILED', reason: 'EDIT_WINDOW_PASSED', retryable: false });
    const text = 'Not changed. Too late to edit this message.';
    assert.deepEqual(failureOf({ ...ROW, change }), { ref: change, text, retryable: false });
  });

  it('a message that was not sent comes before a change of it', () => {
    const pending = refIn({ is: 'FAILED', reason: 'DEADLINE', retryable: true });
    const change = refIn({ is: 'FAILED', reason: 'CANCELED', retryable: false });
    assert.equal(failureOf({ ...ROW, pending, change })?.ref, pending);
  });
});

function refIn(state: SendState): MessageRef {
  return {
    key: 'r',
    state: { get: () => state, subscribe: () => () => undefined },
    accepted: new Promise(() => undefined),
    retry: () => undefined,
    cancel: () => true,
  };
}
