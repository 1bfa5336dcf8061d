import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SEND_FLAG } from '../../core/command.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, newRawId } from '../../core/ids.ts';
import { BODY_KIND } from '../../core/row.ts';
import { codecOf } from '../../proto/codec.ts';
import { ContentSchema } from '../../proto/gen/parley/v1/content_pb.ts';
import { checkContent, type ContentFacts } from './content.ts';

const contents = codecOf(ContentSchema);
const USER = encodeId('usr', newRawId(1));
const OTHER = encodeId('usr', newRawId(2));
const MEDIA = encodeId('med', newRawId(3));
const TARGET = { target: { sequence: 4 } };

function check(json: object): ContentFacts {
  return checkContent(contents.fromJson(json));
}

function reasonOf(json: object): string {
  try {
    check(json);
    return 'accepted';
  } catch (error) {
    assert.ok(error instanceof ParleyError, String(error));
    const { field, path } = error.details;
    return `${error.reason} ${String(field ?? path)}`;
  }
}

const text = (body: string, entities: object[] = []): object => ({
  message: { text: { body, entities } },
});
const entity = (over: object): object =>
  text('ab👍🏽cd', [{ type: 'bold', offset: 0, length: 1, ...over }]);

const REFUSED: readonly [string, object, string][] = [
  ['nothing', {}, 'BAD_FIELD body'],
  ['two kinds', { message: {}, delete: TARGET }, 'BAD_FIELD body'],
  ['an empty message', { message: {} }, 'BAD_TEXT body.message'],
  ['an empty text', text(''), 'BAD_TEXT body.message'],
  ['8,001 code points (case 14)', text('👍'.repeat(8001)), 'BAD_TEXT body.message.text.body'],
  ['a lone high surrogate (case 15)', text('a\ud83d'), 'BAD_TEXT body.message.text.body'],
  ['a lone low surrogate (case 15)', text('\udc4da'), 'BAD_TEXT body.message.text.body'],
  ['two high surrogates', text('\ud83d\ud83d\udc4d'), 'BAD_TEXT body.message.text.body'],
  ['U+0000 (case 15)', text('a\u0000'), 'BAD_TEXT body.message.text.body'],
  ['a carriage return', text('a\r\n'), 'BAD_TEXT body.message.text.body'],
  ['an escape', text('\u001b[31m'), 'BAD_TEXT body.message.text.body'],
  [
    'an unknown entity',
    entity({ type: 'blink' }),
    'UNKNOWN_FIELD body.message.text.entities[0].type',
  ],
  ['an entity of no length', entity({ length: 0 }), 'BAD_FIELD body.message.text.entities[0]'],
  ['one before the text', entity({ offset: -1 }), 'BAD_FIELD body.message.text.entities[0]'],
  [
    'one beyond the text',
    entity({ offset: 6, length: 3 }),
    'BAD_FIELD body.message.text.entities[0]',
  ],
  [
    'one that begins inside a pair',
    entity({ offset: 3 }),
    'BAD_FIELD body.message.text.entities[0]',
  ],
  ['one that ends inside a pair', entity({ offset: 2 }), 'BAD_FIELD body.message.text.entities[0]'],
  [
    'a mention of nobody',
    entity({ type: 'mention' }),
    'BAD_ID body.message.text.entities[0].userId',
  ],
  ['a user on a bold', entity({ userId: USER }), 'BAD_FIELD body.message.text.entities[0].userId'],
  ['a link to nowhere', entity({ type: 'link' }), 'BAD_TEXT body.message.text.entities[0].url'],
  ['a url on a bold', entity({ url: 'x' }), 'BAD_FIELD body.message.text.entities[0].url'],
  [
    '11 attachments',
    { message: { attachments: Array.from({ length: 11 }, () => ({ mediaId: MEDIA })) } },
    'BAD_FIELD body.message.attachments',
  ],
  [
    'an attachment of nothing',
    { message: { attachments: [{}] } },
    'BAD_ID body.message.attachments[0].mediaId',
  ],
  [
    'a negative width',
    { message: { attachments: [{ mediaId: MEDIA, width: -1 }] } },
    'BAD_FIELD body.message.attachments[0].width',
  ],
  [
    'a large preview',
    {
      message: {
        attachments: [{ mediaId: MEDIA, preview: Buffer.alloc(4097).toString('base64') }],
      },
    },
    'PAYLOAD_TOO_LARGE body.message.attachments[0].preview',
  ],
  [
    'a custom without a schema',
    { message: { custom: {} } },
    'BAD_FIELD body.message.custom.schema',
  ],
  [
    'a custom with a bare name',
    { message: { custom: { schema: 'poll' } } },
    'BAD_FIELD body.message.custom.schema',
  ],
  [
    'a custom above 16 KiB',
    {
      message: {
        custom: { schema: 'com.example.poll/1', data: Buffer.alloc(16_385).toString('base64') },
      },
    },
    'PAYLOAD_TOO_LARGE body.message.custom.data',
  ],
  [
    'a fallback of 501',
    { message: { text: { body: 'x' }, fallback: 'x'.repeat(501) } },
    'BAD_TEXT body.message.fallback',
  ],
  [
    'a reply to before the start',
    { message: { text: { body: 'x' }, replyTo: -1 } },
    'BAD_FIELD body.message.replyTo',
  ],
  [
    'a forward of no message',
    { message: { text: { body: 'x' }, forwardOf: 'x' } },
    'BAD_ID body.message.forwardOf',
  ],
  [
    'an expiry in the past',
    { message: { text: { body: 'x' }, expireAfterMs: -1 } },
    'BAD_FIELD body.message.expireAfterMs',
  ],
  ['an edit without a message', { edit: TARGET }, 'BAD_FIELD body.edit.message'],
  ['an edit to nothing', { edit: { ...TARGET, message: {} } }, 'BAD_TEXT body.edit.message'],
  ['a delete of nothing', { delete: {} }, 'BAD_FIELD body.delete.target'],
  [
    'a delete of two',
    { delete: { target: { sequence: 1, clientSeq: 1 } } },
    'BAD_FIELD body.delete.target',
  ],
  ['a reaction of nothing', { reaction: { ...TARGET } }, 'BAD_TEXT body.reaction.emoji'],
  [
    'a reaction that toggles',
    { reaction: { ...TARGET, emoji: 'x', op: 'toggle' } },
    'UNKNOWN_FIELD body.reaction.op',
  ],
  ['a pin that sticks', { pin: { ...TARGET, op: 'stick' } }, 'UNKNOWN_FIELD body.pin.op'],
  ['an empty sealed', { sealed: { scheme: 'mls' } }, 'BAD_FIELD body.sealed.ciphertext'],
  ['a created by a client', { created: { name: 'x' } }, 'BAD_FIELD body.created'],
  ['a member by a client', { member: {} }, 'BAD_FIELD body.member'],
  ['an update by a client', { update: {} }, 'BAD_FIELD body.update'],
  ['a trim by a client', { trim: { from: 1 } }, 'BAD_FIELD body.trim'],
];

describe('content', () => {
  for (const [what, json, reason] of REFUSED)
    it(`${what} is refused: ${reason.split(' ')[0] ?? ''}`, () =>
      assert.equal(reasonOf(json), reason));

  it('8,000 code points, joined emoji, bidi text and composed letters pass (cases 14, 15)', () => {
    for (const body of [
      '👍'.repeat(8000),
      '👨‍👩‍👧‍👦',
      'שלום abc',
      'e\u0301',
      'tab\tline\n',
      '\u007f\u0085\u202e',
    ])
      assert.equal(reasonOf(text(body)), 'accepted');
  });
  it('a message counts, and says whether it is silent and mentions all', () => {
    const facts = check({
      message: {
        text: { body: 'hi all', entities: [{ type: 'mention_all', offset: 3, length: 3 }] },
        silent: true,
      },
    });
    assert.equal(facts.bodyKind, BODY_KIND.message);
    assert.equal(facts.flags, SEND_FLAG.countable | SEND_FLAG.silent | SEND_FLAG.mentionAll);
  });
  it('each mentioned user counts once', () => {
    const mention = (userId: string, offset: number): object => ({
      type: 'mention',
      offset,
      length: 1,
      userId,
    });
    const facts = check(text('abc', [mention(USER, 0), mention(OTHER, 1), mention(USER, 2)]));
    assert.equal(facts.mentions.length, 32);
  });
  it('entities may touch pairs and the end', () => {
    assert.equal(reasonOf(entity({ offset: 2, length: 4 })), 'accepted');
    assert.equal(reasonOf(entity({ offset: 6, length: 2 })), 'accepted');
  });
  it('targets are sequences or numbers of the own outbox', () => {
    assert.deepEqual([check({ delete: TARGET }).target, check({ delete: TARGET }).flags], [4, 0]);
    const own = check({ edit: { target: { clientSeq: 9 }, message: { text: { body: 'x' } } } });
    assert.deepEqual([own.target, own.flags], [9, SEND_FLAG.targetIsClientSeq]);
  });
  it('what cannot be judged by its form is a veto: files that no service has, sealed content', () => {
    const message = { attachments: [{ mediaId: MEDIA }] };
    assert.equal(check({ message }).veto, 'MEDIA_UNKNOWN');
    assert.equal(check({ edit: { target: { sequence: 1 }, message } }).veto, 'MEDIA_UNKNOWN');
    assert.equal(
      check({ sealed: { scheme: 'mls', ciphertext: 'AAAA' } }).veto,
      'ENCRYPTION_MISMATCH',
    );
  });
  it('unknown fields are refused before, with their path (case 16)', () => {
    assert.throws(() => check({ message: { text: { body: 'x', size: 1 } } }), {
      path: 'message.text.size',
    });
  });
});
