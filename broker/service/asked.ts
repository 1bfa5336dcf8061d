/** What every read is given, and how a caller names a conversation. */
import { directConversationRaw, parseId } from '../../core/ids.ts';
import type { Sparse } from '../../proto/codec.ts';
import type { StoreReads } from '../runtime/contract.ts';

/** Who asks, and of which conversation: what every read needs to judge what may be seen. */
export interface Caller {
  readonly user: Uint8Array;
  readonly device: Uint8Array;
}

export interface Asked {
  readonly reads: StoreReads;
  readonly caller: Caller;
}

/** What a read hands back before it is encoded; a page that is written by hand encodes itself. */
export interface Read<T> {
  readonly response: Sparse<T> | (() => Uint8Array);
  readonly index: number;
}

/** A conversation as a caller names it: by id, or as the direct with another user. */
export interface Named {
  readonly raw: Uint8Array;
  /** It was named by its other user, so it is empty rather than unknown before its first message. */
  readonly direct: boolean;
}

export function nameOf(text: string, caller: Caller, field = 'conversationId'): Named {
  if (!text.startsWith('direct:')) return { raw: parseId('cnv', text, field), direct: false };
  const peer = parseId('usr', text.slice('direct:'.length), field);
  return { raw: directConversationRaw(caller.user, peer), direct: true };
}
