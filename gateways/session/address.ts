/**
 * How callers name conversations: by id, or a direct as `direct:usr_x`, which stands for the derived
 * id anywhere, also before the conversation exists (CONTRACT §1).
 */
import { directConversationRaw, encodeId, parseId } from '../../core/ids.ts';

export interface Address {
  readonly conversation: Uint8Array;
  readonly conversationId: string;
  /** The other user, if it was named as a direct; oneself = notes to self. */
  readonly peer?: Uint8Array;
}

const DIRECT = 'direct:';

/** Refuses with BAD_ID, naming the field. */
export function parseAddress(text: string, caller: Uint8Array, field: string): Address {
  if (!text.startsWith(DIRECT))
    return { conversation: parseId('cnv', text, field), conversationId: text };
  const peer = parseId('usr', text.slice(DIRECT.length), field);
  const conversation = directConversationRaw(caller, peer);
  return { conversation, conversationId: encodeId('cnv', conversation), peer };
}
