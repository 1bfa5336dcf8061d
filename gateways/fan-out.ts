/**
 * What stores say of themselves, on its way to connections: rows, whole conversations, receipts,
 * typing, ended sessions. A row is encoded at most once a format, however many get it.
 */
import { ByteReader } from '../core/bytes.ts';
import { encodeId } from '../core/ids.ts';
import { decodeAccountEvent, decodeReceipts } from '../core/link-payload.ts';
import type { Logger, MetricSample } from '../core/observe.ts';
import {
  extraAt,
  flagsAt,
  handleAt,
  idAt,
  payloadAt,
  positionAt,
  RECORD,
  shardAt,
  type RecordKind,
  type Slab,
} from '../core/record.ts';
import { RowView } from '../core/row.ts';
import type { Connection } from './connection.ts';
import type { Feed } from './feed.ts';
import { receiptsFrameProto } from './hot-frames.ts';
import { receiptsFrame } from './receipt-frames.ts';
import type { Routes } from './routes.ts';
import { RowFrames } from './row-frames.ts';
import { encodeFrame, type Format } from './wire.ts';

export interface FanOutOptions {
  readonly routes: Routes;
  readonly feed: Feed;
  readonly log: Logger;
  readonly nowMs: () => number;
  /** A shard's feed has a hole: all sessions look for what they missed. */
  readonly resync: () => void;
  readonly revoke: (user: Uint8Array, session: Uint8Array) => void;
}

const REMOVED = 1;
const LARGE_GROUP = 1;

export class FanOut {
  readonly #options: FanOutOptions;
  #deliveries = 0;
  #rows = 0;

  constructor(options: FanOutOptions) {
    this.#options = options;
  }

  /** A record that answers no request. Its bytes are valid until this returns. */
  record(kind: RecordKind, at: number, slab: Slab): void {
    switch (kind) {
      case RECORD.row:
        return this.#row(at, slab);
      case RECORD.conversation:
        return this.#conversation(at, slab);
      case RECORD.receipts:
        return this.#receipts(at, slab);
      case RECORD.progress:
        return this.#options.feed.progress(shardAt(slab, at), positionAt(slab, at));
      case RECORD.resync:
        return this.#options.resync();
      case RECORD.account:
        return this.#account(at, slab);
      case RECORD.typingOut:
        return this.#typing(at, slab);
      default:
        this.#options.log.warn('a record of a kind that gateways do not take', { kind });
    }
  }

  metrics(): readonly MetricSample[] {
    const counter = (name: string, help: string, value: number): MetricSample => ({
      name: `parley_gateway_${name}_total`,
      kind: 'counter',
      help,
      value,
    });
    return [
      counter('rows', 'Rows fanned out', this.#rows),
      counter('deliveries', 'Rows and heads written to connections', this.#deliveries),
    ];
  }

  #row(at: number, slab: Slab): void {
    const payload = payloadAt(slab, at);
    const handles = handlesOf(payload);
    const isLargeGroup = (flagsAt(slab, at) & LARGE_GROUP) !== 0;
    const conversation = idAt(slab, at);
    const row = new RowFrames(new RowView(payload, handles.end), {
      conversation,
      epoch: extraAt(slab, at),
      head: positionAt(slab, at),
      isLargeGroup,
    });
    this.#rows++;
    this.#options.feed.saw(conversation, row.timeMs, isLargeGroup);
    for (let i = 0; i < handles.count; i++)
      for (const connection of this.#options.routes.connectionsOf(
        handles.view.getUint32(4 + i * 4, true),
      ))
        this.#deliver(connection, row);
  }

  #deliver(connection: Connection, row: RowFrames): void {
    const verdict = connection.session.deliver(row);
    if (verdict === 'none') return;
    this.#deliveries++;
    connection.pass(row.chunk(connection.socket.format, verdict));
  }

  #conversation(at: number, slab: Slab): void {
    const conversationId = encodeId('cnv', idAt(slab, at));
    const isRemoved = (flagsAt(slab, at) & REMOVED) !== 0;
    const bytes = isRemoved ? undefined : payloadAt(slab, at);
    for (const connection of this.#options.routes.connectionsOf(handleAt(slab, at))) {
      connection.session.conversation(conversationId, bytes);
      connection.perform();
    }
  }

  #receipts(at: number, slab: Slab): void {
    const payload = payloadAt(slab, at);
    const handles = handlesOf(payload);
    const conversation = idAt(slab, at);
    const receipts = decodeReceipts(new ByteReader(payload, handles.end));
    if (receipts.is === 'peer') this.#options.feed.saw(conversation, receipts.timeMs, false);
    const encode = (format: Format): Buffer => {
      const conversationId = encodeId('cnv', conversation);
      return format === 'proto' && receipts.is !== 'counts'
        ? receiptsFrameProto(conversationId, receipts)
        : encodeFrame(format, receiptsFrame(conversationId, receipts));
    };
    const chunks: Partial<Record<Format, Buffer>> = {};
    for (let i = 0; i < handles.count; i++)
      for (const connection of this.#options.routes.connectionsOf(
        handles.view.getUint32(4 + i * 4, true),
      )) {
        if (!connection.session.takesReceipts()) continue;
        const { format } = connection.socket;
        connection.pass((chunks[format] ??= encode(format)));
      }
  }

  #account(at: number, slab: Slab): void {
    const event = decodeAccountEvent(payloadAt(slab, at));
    const [connection] = this.#options.routes.connectionsOf(handleAt(slab, at));
    const user = connection?.session.caller?.user;
    if (user !== undefined) this.#options.revoke(user, event.session);
  }

  #typing(at: number, slab: Slab): void {
    const payload = payloadAt(slab, at);
    const handles = handlesOf(payload);
    const conversationId = encodeId('cnv', idAt(slab, at));
    const userId = encodeId('usr', payload.subarray(handles.end, handles.end + 16));
    const isTyping = payload[handles.end + 16] === 1;
    const nowMs = this.#options.nowMs();
    for (let i = 0; i < handles.count; i++)
      for (const connection of this.#options.routes.connectionsOf(
        handles.view.getUint32(4 + i * 4, true),
      )) {
        connection.session.typing({ conversationId, userId }, isTyping, nowMs);
        connection.perform();
      }
  }
}

interface Handles {
  readonly count: number;
  readonly view: DataView;
  /** Where they end within the payload. */
  readonly end: number;
}

function handlesOf(payload: Uint8Array): Handles {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const count = view.getUint32(0, true);
  return { count, view, end: 4 + count * 4 };
}
