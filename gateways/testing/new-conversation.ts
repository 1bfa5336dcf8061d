/** For tests: the raw id of a conversation, as creating a group makes one. */
import { groupConversationRaw, newRawId } from '../../core/ids.ts';

export function newConversationRaw(): Uint8Array {
  return groupConversationRaw(newRawId(Date.now()), newRawId(Date.now()));
}
