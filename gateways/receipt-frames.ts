/** Receipts as clients get them. */
import { encodeId } from '../core/ids.ts';
import type { ReceiptsPayload } from '../core/link-payload.ts';
import type { ServerFrame } from './session/session-contract.ts';

export function receiptsFrame(conversationId: string, receipts: ReceiptsPayload): ServerFrame {
  switch (receipts.is) {
    case 'peer': {
      const { deliveredThrough, readThrough, timeMs } = receipts;
      const userId = encodeId('usr', receipts.user);
      return {
        receipts: { conversationId, peer: { userId, deliveredThrough, readThrough, timeMs } },
      };
    }
    case 'counts':
      return { receipts: { conversationId, counts: [...receipts.items] } };
    case 'me': {
      const { deliveredThrough, readThrough, unreadCount, mentionCount, head } = receipts;
      return {
        receipts: {
          conversationId,
          me: { deliveredThrough, readThrough, unreadCount, mentionCount, head },
        },
      };
    }
  }
}
