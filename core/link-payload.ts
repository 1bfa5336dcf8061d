/**
 * Payloads of records that are neither commands, rows nor protobuf: errors, receipts, account
 * events, lists of handles. They travel on Links only and are versioned by the Link's handshake.
 */
import { ByteReader, ByteWriter } from './bytes.ts';
import { ParleyError, isReason } from './errors.ts';
import { invariant } from './invariant.ts';

/** What an error says; a ParleyError is one. Refusals in masses are made without a stack trace. */
export type Refusal = Pick<ParleyError, 'reason' | 'message' | 'details' | 'retryAfterMs'>;

export function encodeError(error: Refusal): Uint8Array {
  const details = Object.entries(error.details);
  const out = new ByteWriter(128).text(error.reason).text(error.message);
  out.u53(error.retryAfterMs ?? 0).u16(details.length);
  for (const [name, value] of details) {
    out
      .text(name)
      .u8(typeof value === 'number' ? 1 : 0)
      .text(String(value));
  }
  return out.finish();
}

export function decodeError(payload: Uint8Array): ParleyError {
  const input = new ByteReader(payload);
  const reason = input.text();
  const message = input.text();
  const retryAfterMs = input.u53();
  const details: Record<string, string | number> = {};
  for (let left = input.u16(); left > 0; left--) {
    const name = input.text();
    const isNumber = input.u8() === 1;
    const value = input.text();
    details[name] = isNumber ? Number(value) : value;
  }
  invariant(isReason(reason), 'link.reason-known', () => ({ reason }));
  return new ParleyError(reason, message, details, retryAfterMs > 0 ? { retryAfterMs } : {});
}

/** What changed of the receipts of one conversation, for the handles before it. */
export type ReceiptsPayload =
  /** To the other user of a direct. */
  | {
      readonly is: 'peer';
      readonly user: Uint8Array;
      readonly deliveredThrough: number;
      readonly readThrough: number;
      readonly timeMs: number;
    }
  /** To an author in a group: counts of own messages among the newest 100 rows. */
  | { readonly is: 'counts'; readonly items: readonly ReceiptCounts[] }
  /** To one's own devices. */
  | {
      readonly is: 'me';
      readonly deliveredThrough: number;
      readonly readThrough: number;
      readonly unreadCount: number;
      readonly mentionCount: number;
      readonly head: number;
    };

export interface ReceiptCounts {
  readonly sequence: number;
  readonly of: number;
  readonly queued: number;
  readonly delivered: number;
  readonly read: number;
}

export function encodeReceipts(receipts: ReceiptsPayload, out: ByteWriter): void {
  switch (receipts.is) {
    case 'peer':
      out
        .u8(0)
        .raw(receipts.user)
        .u53(receipts.deliveredThrough)
        .u53(receipts.readThrough)
        .u53(receipts.timeMs);
      return;
    case 'counts':
      out.u8(1).u16(receipts.items.length);
      for (const item of receipts.items) {
        out.u53(item.sequence).u32(item.of).u32(item.queued).u32(item.delivered).u32(item.read);
      }
      return;
    case 'me':
      out.u8(2).u53(receipts.deliveredThrough).u53(receipts.readThrough);
      out.u53(receipts.unreadCount).u53(receipts.mentionCount).u53(receipts.head);
      return;
  }
}

export function decodeReceipts(input: ByteReader): ReceiptsPayload {
  const kind = input.u8();
  if (kind === 0)
    return {
      is: 'peer',
      user: input.raw(16),
      deliveredThrough: input.u53(),
      readThrough: input.u53(),
      timeMs: input.u53(),
    };
  if (kind === 1) {
    const items = Array.from({ length: input.u16() }, () => ({
      sequence: input.u53(),
      of: input.u32(),
      queued: input.u32(),
      delivered: input.u32(),
      read: input.u32(),
    }));
    return { is: 'counts', items };
  }
  invariant(kind === 2, 'link.receipts-kind-known', { kind });
  return {
    is: 'me',
    deliveredThrough: input.u53(),
    readThrough: input.u53(),
    unreadCount: input.u53(),
    mentionCount: input.u53(),
    head: input.u53(),
  };
}

/** An account log entry as its own devices' gateways get it. */
export interface AccountEvent {
  readonly is: 'session-revoked';
  readonly session: Uint8Array;
}

export function encodeAccountEvent(event: AccountEvent): Uint8Array {
  return new ByteWriter(17).u8(1).raw(event.session).finish();
}

export function decodeAccountEvent(payload: Uint8Array): AccountEvent {
  const input = new ByteReader(payload);
  const kind = input.u8();
  invariant(kind === 1, 'link.account-event-known', { kind });
  return { is: 'session-revoked', session: input.raw(16) };
}

/** u32 count, u32 handle*: who gets what follows. */
export function writeHandles(out: ByteWriter, handles: readonly number[]): void {
  out.u32(handles.length);
  for (const handle of handles) out.u32(handle);
}

export function readHandles(input: ByteReader): number[] {
  return Array.from({ length: input.u32() }, () => input.u32());
}
