/** Who talks in tests of the store and what they say: Ana and Bo in their direct, groups of Ana's. */
import { COMMAND_KIND } from '../../../core/command.ts';
import { encodeCommand } from '../../../core/command-codec.ts';
import { directConversationRaw, groupConversationRaw } from '../../../core/ids.ts';
import { OPEN_GROUP, type SendOptions, idOf, sendCommand } from '../../conversation/test-kit.ts';
import type { TestGateway } from './test-gateway.ts';

export const ANA: Uint8Array = idOf(1);
export const BO: Uint8Array = idOf(2);
export const CEM: Uint8Array = idOf(3);
export const DIRECT: Uint8Array = directConversationRaw(ANA, BO);
/** Every row of a conversation, to ask the reads for. */
export const ALL = { from: 1, through: 1e9, limit: 1e9, newest: false } as const;

/** A send of Ana's in the direct, number by number, unless told otherwise. */
export function hello(clientSeq: number, more: Partial<SendOptions> = {}): Uint8Array {
  return sendCommand({
    to: DIRECT,
    from: ANA,
    peer: BO,
    outbox: idOf(1, 7),
    clientSeq,
    after: clientSeq - 1,
    clientMessageId: idOf(clientSeq, 9),
    text: `hello ${clientSeq}`,
    ...more,
  });
}

export function sendMany(gateway: TestGateway, from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => gateway.command(hello(from + i)));
}

/** Ana makes a group; its id follows from the request's. */
export function createGroup(requestId: Uint8Array, members: readonly Uint8Array[]): Uint8Array {
  return encodeCommand({
    kind: COMMAND_KIND.createGroup,
    timeMs: 0,
    key: groupConversationRaw(ANA, requestId),
    caller: ANA,
    requestId,
    name: 'crew',
    members,
    settings: OPEN_GROUP,
  });
}

export function removeMember(conversation: Uint8Array, user: Uint8Array): Uint8Array {
  return encodeCommand({
    kind: COMMAND_KIND.removeMember,
    timeMs: 0,
    key: conversation,
    caller: ANA,
    user,
  });
}
