import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'mocha';
import { BODY_KIND, ROW_FLAG, encodeRow } from '../../core/row.ts';
import { codecOf } from '../../proto/codec.ts';
import { ListMessagesResponseSchema } from '../../proto/gen/parley/client/v1/messages_pb.ts';
import { ContentSchema } from '../../proto/gen/parley/v1/content_pb.ts';
import { NO_OVERLAY, encodeOverlay } from '../conversation/overlay.ts';
import type { StandingRow } from '../runtime/contract.ts';
import { encodeMessages } from './message-writer.ts';
import { renderMessage } from './render.ts';

const pages = codecOf(ListMessagesResponseSchema);
const contents = codecOf(ContentSchema);
const CONVERSATION = new Uint8Array(randomBytes(16));
const ZERO = new Uint8Array(16);

function standing(
  sequence: number,
  text: string,
  more: { flags?: number; deleted?: boolean; server?: boolean } = {},
): StandingRow {
  const isServer = more.server === true;
  const row = encodeRow({
    bodyKind: isServer ? BODY_KIND.created : BODY_KIND.message,
    flags: more.flags ?? ROW_FLAG.outbox,
    sequence,
    timeMs: 1_795_232_841_872 + sequence,
    ordinal: sequence,
    mentionAllOrdinal: 0,
    clientSeq: sequence * 7,
    target: 0,
    sender: isServer ? ZERO : new Uint8Array(randomBytes(16)),
    device: isServer ? ZERO : new Uint8Array(randomBytes(16)),
    outbox: new Uint8Array(randomBytes(16)),
    clientMessageId: isServer ? ZERO : new Uint8Array(randomBytes(16)),
    payloadHash: ZERO,
    mentions: new Uint8Array(32),
    body: contents.encode({ message: { text: { body: text } } }),
  });
  const overlay =
    more.deleted === true
      ? encodeOverlay({ ...NO_OVERLAY, deleted: true, changeSequence: sequence + 5 })
      : new Uint8Array(0);
  return { sequence, row, overlay };
}

describe('pages of messages written by hand', () => {
  it('are the bytes that the codec writes', () => {
    const rows = [
      standing(1, 'short'),
      standing(130, ''),
      standing(70_000, 'é'.repeat(3000)),
      standing(2 ** 40 - 1, 'x'.repeat(20_000)),
      standing(5, 'gone', { deleted: true }),
      standing(6, 'bot', { flags: 0 }),
      standing(7, 'redacted', { flags: ROW_FLAG.redacted | ROW_FLAG.outbox }),
      standing(8, 'made by the server', { flags: ROW_FLAG.server, server: true }),
    ];
    const messages = rows.map((row) => renderMessage(CONVERSATION, row));
    const theirs = pages.encode({ messages, head: 9 });
    const rest = pages.encode({ head: 9 });
    assert.deepEqual(Buffer.from(encodeMessages(1, CONVERSATION, rows, rest)), Buffer.from(theirs));
  });
});
