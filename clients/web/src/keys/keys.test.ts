import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { HELP, type KeyPress, nameOf } from './keys.ts';

function press(key: string, more: Partial<KeyPress> = {}): KeyPress {
  return { key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more };
}

describe('names of keys', () => {
  it('Cmd counts as Ctrl and a letter’s case does not matter', () => {
    assert.equal(nameOf(press('k', { metaKey: true })), 'Ctrl+K');
    assert.equal(nameOf(press('K', { ctrlKey: true })), 'Ctrl+K');
  });

  it('Shift is named for named keys and for letters', () => {
    assert.equal(nameOf(press('ArrowUp', { altKey: true, shiftKey: true })), 'Alt+Shift+ArrowUp');
    assert.equal(nameOf(press('F6', { ctrlKey: true })), 'Ctrl+F6');
  });

  it('a symbol that needs Shift is itself', () => {
    assert.equal(nameOf(press('/', { ctrlKey: true, shiftKey: true })), 'Ctrl+/');
  });

  it('the help sheet says each key once', () => {
    const keys = HELP.map((line) => line.keys);
    assert.equal(new Set(keys).size, keys.length);
  });
});
