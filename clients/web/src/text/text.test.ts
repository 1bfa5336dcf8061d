import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { REASONS } from '@parley/sdk';
import { isOnlyEmoji } from './emoji.ts';
import { codePoints } from './form-text.ts';
import { splitLinks } from './links.ts';
import { reasonOf, sentenceOf } from './reason-text.ts';
import { dayKeyOf, dayOf, shortOf } from './times.ts';

describe('emoji alone', () => {
  it('one to three are large: families, flags, keycaps, skin tones', () => {
    for (const text of ['👍', '👨‍👩‍👧‍👦', '🇳🇴', '3️⃣', '🙂🙃🙂', '👍🏽 👍🏿']) {
      assert.equal(isOnlyEmoji(text), true, text);
    }
  });

  it('four, digits, words and nothing are not', () => {
    for (const text of ['🙂🙂🙂🙂', '3', '#', 'ok 👍', '', ' ']) {
      assert.equal(isOnlyEmoji(text), false, text);
    }
  });
});

describe('links in a text', () => {
  it('keep every character in order', () => {
    const text = 'see https://a.example/x?y=1, and (http://b.example). Bye';
    const runs = splitLinks(text);
    assert.equal(runs.map((run) => run.text).join(''), text);
    assert.deepEqual(
      runs.filter((run) => run.href !== undefined).map((run) => run.text),
      ['https://a.example/x?y=1', 'http://b.example'],
    );
  });

  it('are http and https alone', () => {
    for (const text of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc', 'https://']) {
      assert.deepEqual(splitLinks(text), [{ text }]);
    }
  });
});

describe('reasons', () => {
  it('every reason of the contract reads as a sentence', () => {
    for (const reason of Object.keys(REASONS)) assert.match(sentenceOf(reason), /^[A-Z].*\.$/);
  });

  it('an error without a reason has none', () => {
    assert.equal(reasonOf({ reason: 'BLOCKED' }), 'BLOCKED');
    assert.equal(reasonOf(new TypeError('x')), undefined);
    assert.equal(reasonOf(undefined), undefined);
  });
});

describe('times', () => {
  it('a list row tells the time today and the date before', () => {
    const now = new Date(2026, 4, 12, 15).getTime();
    assert.match(shortOf(new Date(2026, 4, 12, 9, 41).getTime(), now), /9.41/);
    assert.match(shortOf(new Date(2026, 4, 11, 9, 41).getTime(), now), /11/);
    assert.match(shortOf(new Date(2025, 4, 11).getTime(), now), /2025/);
  });

  it('a day line names the year only where it is another', () => {
    const now = new Date(2026, 4, 12).getTime();
    assert.doesNotMatch(dayOf(now, now), /2026/);
    assert.match(dayOf(new Date(2024, 1, 2).getTime(), now), /2024/);
    assert.notEqual(dayKeyOf(now), dayKeyOf(now - 1));
  });
});

describe('lengths', () => {
  it('are counted in code points', () => {
    assert.equal(codePoints('a👍'), 2);
  });
});
