import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { type EnterKey, isSendKey } from './enter-key.ts';

const ENTER: EnterKey = {
  key: 'Enter',
  keyCode: 13,
  isComposing: false,
  shiftKey: false,
  altKey: false,
  ctrlKey: false,
  metaKey: false,
};

describe('Enter in the composer', () => {
  it('sends; with Shift or Alt it is a new line', () => {
    assert.equal(isSendKey(ENTER, false), true);
    assert.equal(isSendKey({ ...ENTER, shiftKey: true }, false), false);
    assert.equal(isSendKey({ ...ENTER, altKey: true }, false), false);
  });

  it('that confirms a candidate never sends, also where only keyCode 229 tells (case 36)', () => {
    assert.equal(isSendKey({ ...ENTER, isComposing: true }, false), false);
    assert.equal(isSendKey({ ...ENTER, keyCode: 229 }, false), false);
    assert.equal(isSendKey({ ...ENTER, keyCode: 229, ctrlKey: true }, false), false);
  });

  it('on touch is a new line, but with Ctrl or Cmd it sends', () => {
    assert.equal(isSendKey(ENTER, true), false);
    assert.equal(isSendKey({ ...ENTER, metaKey: true }, true), true);
  });

  it('no other key sends', () => {
    assert.equal(isSendKey({ ...ENTER, key: 'a' }, false), false);
  });
});
