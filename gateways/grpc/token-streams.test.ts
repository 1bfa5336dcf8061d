import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { TokenStreams } from './token-streams.ts';

describe('streams of services', () => {
  it('end when their token is revoked, and not while it cannot be judged', async () => {
    const asked: string[] = [];
    const verdicts = new Map<string, ParleyError>();
    const streams = new TokenStreams((token) => {
      asked.push(token);
      return Promise.resolve(verdicts.get(token));
    });
    const ended: string[] = [];
    const open = (token: string): EventEmitter => {
      const stream = new EventEmitter();
      stream.on('error', (error: Error & { details?: string }) =>
        ended.push(`${token} ${error.details ?? ''}`),
      );
      streams.add(stream, token, ['broker']);
      return stream;
    };
    const [, , c] = [open('a'), open('a'), open('b')];
    await streams.check();
    assert.deepEqual([asked, ended], [['a', 'b'], []], 'each token is looked up once');
    verdicts.set('a', new ParleyError('TOKEN_INVALID', 'revoked'));
    verdicts.set('b', new ParleyError('BACKEND_UNAVAILABLE', 'away'));
    await streams.check();
    assert.deepEqual(ended, ['a TOKEN_INVALID: revoked', 'a TOKEN_INVALID: revoked']);
    assert.equal(streams.count, 1);
    c.emit('close');
    assert.equal(streams.count, 0);
  });
});
