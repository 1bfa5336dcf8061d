import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import type { SessionId } from '../../core/ids.ts';
import { newSessionId, newUserId, sessionIdOf, userIdOf } from './new-ids.ts';
import { LoginThrottle } from './login-throttle.ts';
import { RefreshTokens } from './refresh-tokens.ts';
import { checkName, checkUrl, foldName } from './text-rules.ts';

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof ParleyError) return thrown.reason;
  }
  return 'none';
}

describe('text of accounts', () => {
  it('names are kept verbatim: joiners, right-to-left, combining marks, newline and tab', () => {
    for (const text of ['👨‍👩‍👧', 'שלום', 'e\u0301', 'a\n\tb', '\u007f', 'x'.repeat(100)])
      assert.equal(checkName(text, 'name'), text);
    for (const text of ['a\0', '\r', '\u001b[0m', '\udc00', 'x'.repeat(101), 5])
      assert.equal(
        reasonOf(() => checkName(text, 'name')),
        'BAD_TEXT',
      );
  });

  it('a picture is on the web or on this server, never a script', () => {
    for (const url of ['', 'https://a.example/x.png', 'http://localhost:1/x', '/media/1'])
      assert.equal(checkUrl(url, 'pictureUrl'), url);
    for (const url of [
      'javascript:alert(1)',
      '//evil.example',
      'data:x',
      'https://',
      'https://a b',
      7,
    ])
      assert.equal(
        reasonOf(() => checkUrl(url, 'pictureUrl')),
        'BAD_FIELD',
      );
  });

  it('folding makes case, accents and width equal', () => {
    for (const text of ['Ångström', 'ANGSTROM', 'Ａngstrom', ' ångström '])
      assert.equal(foldName(text), 'angstrom');
  });

  it('an id of another kind is no id', () => {
    const user = newUserId(1);
    assert.equal(userIdOf(user, 'userId'), user);
    assert.equal(
      reasonOf(() => sessionIdOf(user, 'sessionId')),
      'BAD_ID',
    );
    assert.equal(
      reasonOf(() => userIdOf(undefined, 'userId')),
      'BAD_ID',
    );
  });
});

describe('refresh token form', () => {
  it('golden bytes: session, number and MAC under a fixed key', () => {
    const tokens = new RefreshTokens(new Uint8Array(32).fill(9));
    const session = 'ses_01m7xxxxxxe00000000000000g' as SessionId;
    const text = tokens.make(session, 7);
    assert.equal(
      text,
      'prt_AaH73ve9cAAAAAAAAAAAEAAAAAc2cDDdde4rJmw4QTsBg8NT5alj-iNJu880Hmp7MrBEUw',
    );
    assert.deepEqual(tokens.parse(text), { sessionId: session, count: 7 });
    const other = new RefreshTokens(new Uint8Array(32).fill(8));
    assert.equal(
      reasonOf(() => other.parse(text)),
      'TOKEN_INVALID',
    );
  });

  it('every changed bit is noticed', () => {
    const tokens = new RefreshTokens(new Uint8Array(32));
    const bytes = Buffer.from(tokens.make(newSessionId(1), 1).slice(4), 'base64url');
    for (let i = 0; i < bytes.length; i++) {
      const damaged = Buffer.from(bytes);
      damaged[i] = (damaged[i] ?? 0) ^ 4;
      const text = `prt_${damaged.toString('base64url')}`;
      assert.equal(
        reasonOf(() => tokens.parse(text)),
        'TOKEN_INVALID',
      );
    }
  });
});

describe('the limit on failed sign-ins', () => {
  it('forgets the oldest counts rather than growing, and a success clears its own', () => {
    let nowMs = 0;
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
    const throttle = new LoginThrottle(clock, { loginFailuresMax: 1, loginWindowMs: 10 });
    const from = (i: number): { address: string } => ({ address: String(i) });
    for (let i = 0; i <= 50_000; i++) throttle.failed('ann', from(i));
    assert.equal(
      reasonOf(() => throttle.check('ann', from(0))),
      'none',
    );
    assert.equal(
      reasonOf(() => throttle.check('ann', from(50_000))),
      'RATE_LIMITED',
    );
    throttle.succeeded('ann', from(50_000));
    assert.equal(
      reasonOf(() => throttle.check('ann', from(50_000))),
      'none',
    );
    assert.equal(
      reasonOf(() => throttle.check('ann', from(49_999))),
      'RATE_LIMITED',
    );
    nowMs = 10;
    assert.equal(
      reasonOf(() => throttle.check('ann', from(49_999))),
      'none',
    );
  });
});
