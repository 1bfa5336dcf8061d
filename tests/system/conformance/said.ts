/** What somebody says, and what a reader finds of it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { directConversationRaw, encodeId, parseId } from '../../../core/ids.ts';
import { text, type Speaker } from './carriers.ts';

export function directId(a: Speaker, b: Speaker): string {
  const [x, y] = [a, b].map(({ userId }) => parseId('usr', userId, 'user'));
  assert.ok(x !== undefined && y !== undefined);
  return encodeId('cnv', directConversationRaw(x, y));
}

export function outboxSend(
  to: string,
  outboxId: string,
  clientSeq: number,
): {
  to: string;
  outboxId: string;
  clientSeq: number;
  after: number;
  clientMessageId: string;
  body: object;
} {
  return {
    to,
    outboxId,
    clientSeq,
    after: clientSeq - 1,
    clientMessageId: randomUUID(),
    body: text(String(clientSeq)),
  };
}

export async function rows(reader: Speaker, conversationId: string): Promise<readonly object[]> {
  return (await reader.do('Messages.ListRows', { conversationId, limit: 200 })).rows;
}

export async function bodies(
  reader: Speaker,
  conversationId: string,
): Promise<(string | undefined)[]> {
  const { messages } = await reader.do('Messages.List', { conversationId, limit: 200 });
  return messages
    .filter((message) => message.content?.message !== undefined)
    .map((message) => message.content?.message?.text?.body);
}
