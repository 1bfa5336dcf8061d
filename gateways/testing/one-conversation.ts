/** For tests: a conversation, and sends to it from one outbox. */
import { randomUUID } from 'node:crypto';
import { encodeId } from '../../core/ids.ts';
import { newConversationRaw } from './new-conversation.ts';

export const CONVERSATION: Uint8Array = newConversationRaw();
export const ID: string = encodeId('cnv', CONVERSATION);
export const OUTBOX: string = randomUUID();

export function send(clientSeq: number, over: object = {}): object {
  return {
    send: {
      to: ID,
      outboxId: OUTBOX,
      clientSeq,
      after: clientSeq - 1,
      clientMessageId: randomUUID(),
      body: { message: { text: { body: 'hi' } } },
      ...over,
    },
  };
}
