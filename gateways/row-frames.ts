/**
 * A row in the forms in which connections get it: whole, without its body (to whom it was sent
 * from), or as the head of its conversation. Each form is encoded at most once per format.
 */
import { encodeId, encodeUuid, messageIdRaw } from '../core/ids.ts';
import { isZero } from '../core/bytes.ts';
import { BODY_KIND, ROW_FLAG, type RowView } from '../core/row.ts';
import { codecOf } from '../proto/codec.ts';
import { ContentSchema } from '../proto/gen/parley/v1/content_pb.ts';
import type { RowEvent, ServerFrame } from './session/session-contract.ts';
import { rowFrameJson, rowFrameProto, textOfContent } from './hot-frames.ts';
import { encodeFrame, type Format } from './wire.ts';

export type RowForm = 'full' | 'stub' | 'head';

interface RowTexts {
  readonly sequence: number;
  readonly timeMs: number;
  readonly senderUserId: string;
  readonly senderDeviceId: string;
  readonly outboxId: string;
  readonly clientSeq: number;
  readonly clientMessageId: string;
}

const contents = codecOf(ContentSchema);

export class RowFrames implements RowEvent {
  readonly conversationId: string;
  readonly epoch: number;
  readonly head: number;
  readonly isLargeGroup: boolean;
  readonly sequence: number;
  readonly timeMs: number;
  readonly device: Uint8Array;
  readonly outbox: Uint8Array;
  readonly clientMessageId: Uint8Array;
  readonly #view: RowView;
  readonly #conversation: Uint8Array;
  #made: { readonly format: Format; readonly form: RowForm; readonly chunk: Buffer }[] = [];
  #body: Uint8Array | undefined;
  #texts: RowTexts | undefined;

  /** Reads the row in place: valid, and to be encoded, before its slab is given back. */
  constructor(
    row: RowView,
    place: {
      readonly conversation: Uint8Array;
      readonly epoch: number;
      readonly head: number;
      readonly isLargeGroup: boolean;
    },
  ) {
    this.#view = row;
    this.#conversation = place.conversation;
    this.conversationId = encodeId('cnv', place.conversation);
    this.epoch = place.epoch;
    this.head = place.head;
    this.isLargeGroup = place.isLargeGroup;
    this.sequence = row.sequence;
    this.timeMs = row.timeMs;
    this.device = row.device;
    this.outbox = row.outbox;
    this.clientMessageId = row.clientMessageId;
  }

  chunk(format: Format, form: RowForm): Buffer {
    for (const made of this.#made)
      if (made.format === format && made.form === form) return made.chunk;
    const chunk =
      form === 'head' ? encodeFrame(format, this.#headFrame()) : this.#row(format, form);
    this.#made.push({ format, form, chunk });
    return chunk;
  }

  #row(format: Format, form: 'full' | 'stub'): Buffer {
    const { conversationId, epoch, head } = this;
    const isBare = form === 'stub' || this.#view.has(ROW_FLAG.redacted);
    const body = isBare ? undefined : this.#bodyBytes();
    const parts = { conversationId, epoch, head, ...this.#fields(), body };
    if (format === 'proto') return rowFrameProto(parts);
    return rowFrameJson(parts, body === undefined ? undefined : contentJson(body));
  }

  /** The head after this row. The message is told only when this row is one. */
  #headFrame(): ServerFrame {
    const row = this.#view;
    const { conversationId, epoch, head, sequence, timeMs } = this;
    const lastMessage = row.has(ROW_FLAG.countable)
      ? {
          lastMessage: {
            ...this.#fields(),
            content: this.#bodyBytes(),
            changeSequence: sequence,
            messageId: encodeId('msg', messageIdRaw(timeMs, sequence, this.#conversation)),
          },
        }
      : {};
    const item = { conversationId, epoch, head, messageCount: row.ordinal, ...lastMessage };
    return { heads: { items: [item] } };
  }

  #fields(): RowTexts {
    this.#texts ??= this.#readFields();
    return this.#texts;
  }

  #readFields(): RowTexts {
    const row = this.#view;
    const hasOutbox = row.has(ROW_FLAG.outbox);
    return {
      sequence: this.sequence,
      timeMs: this.timeMs,
      senderUserId: isZero(row.sender) ? '' : encodeId('usr', row.sender),
      senderDeviceId: isZero(row.device) ? '' : encodeId('dev', row.device),
      outboxId: hasOutbox ? encodeUuid(row.outbox) : '',
      clientSeq: row.clientSeq,
      clientMessageId: isZero(row.clientMessageId) ? '' : encodeUuid(row.clientMessageId),
    };
  }

  #bodyBytes(): Uint8Array {
    this.#body ??= contentBytesOf(this.#view);
    return this.#body;
  }
}

/** A row's body as clients get it: the target of a control row is the sequence it was found to be. */
export function contentBytesOf(row: RowView): Uint8Array {
  if (!AIMED.has(row.bodyKind)) return row.body;
  const content = contents.decode(row.body);
  const aimed = content.edit ?? content.delete ?? content.reaction ?? content.pin;
  if (aimed === undefined || (aimed.target?.clientSeq ?? 0) === 0) return row.body;
  aimed.target = { sequence: row.target, clientSeq: 0 };
  return contents.encode(content);
}

const AIMED: ReadonlySet<number> = new Set([
  BODY_KIND.edit,
  BODY_KIND.delete,
  BODY_KIND.reaction,
  BODY_KIND.pin,
]);

/** A content as JSON text. */
function contentJson(body: Uint8Array): string {
  const text = textOfContent(body);
  if (text !== undefined) return `{"message":{"text":{"body":${JSON.stringify(text)}}}}`;
  return JSON.stringify(contents.toJson(body));
}
