import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ParleyError } from '../core/errors.ts';
import { readMessage, type Format } from './wire.ts';

/** What a reader was told, as one line each; it has enough after `enough` of them. */
function read(format: Format, data: Buffer, enough: number = Infinity): string[] {
  const told: string[] = [];
  readMessage(format, data, {
    isOver: () => told.length >= enough,
    frame: (frame) => void told.push(`frame ${frame.id}`),
    unreadable: (error: ParleyError, id: number) => void told.push(`${error.reason} ${id}`),
  });
  return told;
}

describe('messages of clients', () => {
  it('an id that is an object is no id, whatever it says of itself (case 21)', () => {
    for (const id of ['{"toString":1,"valueOf":1}', '{}', '[[]]', '[7]', 'null', '"x"', 'true'])
      for (const rest of ['"ping":{}', '"nothing":{}'])
        assert.match(
          read('json', Buffer.from(`{"id":${id},${rest}}`)).join(),
          /^(BAD_FIELD|UNKNOWN_FIELD) [01]$|^frame 0$/,
          id,
        );
  });
  it('what cannot be read is told with its id where that can be', () => {
    assert.deepEqual(read('json', Buffer.from('{"id":7,"nothing":{}}')), ['UNKNOWN_FIELD 7']);
    assert.deepEqual(read('json', Buffer.from('{"id":"7","nothing":{}}')), ['UNKNOWN_FIELD 7']);
    assert.deepEqual(read('proto', Buffer.from([3, 8, 7, 255])), ['MALFORMED 7']);
  });
  it('nothing more of a message is read for who has been sent away: 256 KiB of rubbish were seconds', () => {
    const ones = Buffer.from(`[${'1,'.repeat(130_000)}1]`);
    assert.equal(read('json', ones, 1).length, 1);
    assert.equal(read('json', Buffer.from(`[${'{},'.repeat(80_000)}{}]`), 2).length, 2);
    assert.equal(read('proto', Buffer.alloc(262_144), 3).length, 3);
    assert.equal(read('proto', Buffer.from('0107'.repeat(131_000), 'hex'), 1).length, 1);
  });
});
