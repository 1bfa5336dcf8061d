/** Reading JSON frames without trusting their shape. */
import { createHash } from 'node:crypto';
import type { Seen } from '../checker/history.ts';

export type Json = Readonly<Record<string, unknown>>;

export function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

export function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(object) : [];
}

export function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(text) : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

export function digest(content: string): string {
  return createHash('sha256').update(content).digest('base64url').slice(0, 12);
}

/**
 * Digest of what somebody sent: of a message its text, of a control row what it does. '' = no body,
 * or made by the server.
 */
export function contentDigest(body: unknown): string {
  const content = object(body);
  const message = object(content['message']);
  if ('message' in content) return digest(`message ${text(object(message['text'])['body'])}`);
  if ('edit' in content) {
    const edit = object(content['edit']);
    const said = text(object(object(edit['message'])['text'])['body']);
    return digest(`edit ${said}`);
  }
  if ('delete' in content) return digest('delete');
  return '';
}

/** What a reader sees of a row, as histories have it. */
export function seenOf(
  row: Json,
): Pick<Seen, 'sequence' | 'clientMessageId' | 'outbox' | 'clientSeq' | 'content' | 'timeMs'> {
  return {
    sequence: count(row['sequence']),
    clientMessageId: text(row['clientMessageId']),
    outbox: text(row['outboxId']),
    clientSeq: count(row['clientSeq']),
    content: contentDigest(row['body']),
    timeMs: count(row['timeMs']),
  };
}
