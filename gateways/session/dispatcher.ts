/**
 * Unary methods, the same for every carrier: `call` frames and REST end here. A method becomes a
 * routine: reads are passed to the store as they are, writes become commands, accounts are the
 * identity service's.
 */
import { ParleyError } from '../../core/errors.ts';
import { encodeId, messageIdRaw } from '../../core/ids.ts';
import type { Plain } from '../../proto/codec.ts';
import type {
  Commit as CommitMessage,
  ReportRequest,
} from '../../proto/gen/parley/client/v1/messages_pb.ts';
import { parseAddress } from './address.ts';
import * as calls from './conversation-calls.ts';
import { MARKS_PER_REPORT_MAX } from './limits.ts';
import { listConversations, type ListRequest } from './listing.ts';
import { markCommand } from './marks.ts';
import {
  isIdentityMethod,
  isRead,
  type IdentityMethod,
  type MethodName,
  type ReadMethod,
} from './method-names.ts';
import { badField } from './refusals.ts';
import { command, passOn, room, unknownUsers, type Ask, type Routine } from './routine.ts';
import { prepareSend, type SendRequest } from './send.ts';
import type { Caller, Commit } from './caller.ts';
import type { Response, Surroundings } from './session-contract.ts';
import type { Position } from './sync-token.ts';

export interface CallOutcome {
  readonly response: Response;
  /** A write that had been done before. */
  readonly replayed: boolean;
  /** How far a device is that stores the response (ListConversations' last page). */
  readonly position?: Position;
}

/** The routine of a call whose request was read by the method's own type. */
export function dispatch(
  method: MethodName,
  request: unknown,
  caller: Caller,
  surroundings: Surroundings,
): Routine<CallOutcome> {
  if (isIdentityMethod(method)) return identityCall(method, request as object, caller);
  if (isRead(method)) return read(method, request as ReadRequest, caller, surroundings);
  // Requests were read by the method's descriptor; the table below says which type that is.
  switch (method) {
    case 'Messages.Send':
      return sendCall(request as SendRequest, caller, surroundings);
    case 'Messages.Report':
      return report(request as Plain<ReportRequest>, caller, surroundings);
    case 'Sync.ListConversations':
      return list(request as ListRequest, caller, surroundings);
    case 'Conversations.Create':
      return calls.createGroup(request as Parameters<typeof calls.createGroup>[0], caller);
    case 'Conversations.Update':
      return calls.updateConversation(
        request as Parameters<typeof calls.updateConversation>[0],
        caller,
      );
    case 'Conversations.Close':
      return calls.closeConversation(
        request as Parameters<typeof calls.closeConversation>[0],
        caller,
      );
    case 'Conversations.AddMembers':
      return calls.addMembers(request as Parameters<typeof calls.addMembers>[0], caller);
    case 'Conversations.UpdateMember':
      return calls.updateMember(request as Parameters<typeof calls.updateMember>[0], caller);
    case 'Conversations.RemoveMember':
      return calls.removeMember(request as Parameters<typeof calls.removeMember>[0], caller);
    case 'Conversations.SetMyState':
      return calls.setMyState(request as Parameters<typeof calls.setMyState>[0], caller);
  }
}

/**
 * Many pages may be asked for at once: each goes out when the client has taken most of those before.
 * These alone, whose messages say themselves what they are newer than: a state that is held back
 * would come behind pushes that know better.
 */
export function isPage(method: MethodName): boolean {
  return method === 'Messages.List' || method === 'Messages.ListRows';
}

/** A commit as the contract shows it. */
export function commitResponse(
  commit: Commit,
  conversation: Uint8Array,
  conversationId: string,
): Plain<CommitMessage> {
  const { sequence, timeMs, queued, replayed } = commit;
  const messageId = encodeId('msg', messageIdRaw(timeMs, sequence, conversation));
  return { conversationId, sequence, messageId, timeMs, queued, replayed };
}

interface ReadRequest {
  readonly conversationId: string;
}

/** A read names its conversation; a direct that nobody has written to yet is empty, not unknown. */
function* read(
  method: ReadMethod,
  request: ReadRequest,
  caller: Caller,
  surroundings: Surroundings,
): Routine<CallOutcome> {
  const address = parseAddress(request.conversationId, caller.user, 'conversationId');
  const { conversation: key, conversationId, peer } = address;
  try {
    const asked = { ...request, conversationId };
    const response = yield* passOn({ method, key, caller, request: asked });
    if (isPage(method)) yield* room();
    return { response, replayed: false };
  } catch (error) {
    const isUncreated = error instanceof ParleyError && error.reason === 'CONVERSATION_UNKNOWN';
    if (peer === undefined || !isUncreated) throw error;
    const isOneMessage =
      method === 'Messages.List' && 'sequence' in request && request.sequence !== 0;
    if (isOneMessage) throw new ParleyError('MESSAGE_UNKNOWN', 'there is no such message', {});
    const response = emptyDirect(method, conversationId, peer, surroundings.epoch());
    return { response, replayed: false };
  }
}

function emptyDirect(
  method: ReadMethod,
  conversationId: string,
  peer: Uint8Array,
  epoch: number,
): object {
  const conversation = {
    conversationId,
    kind: 'direct',
    encryption: 'none',
    peerUserId: encodeId('usr', peer),
    epoch,
  };
  switch (method) {
    case 'Conversations.Get':
      return conversation;
    case 'Sync.SyncConversation':
      return { conversation, cursor: { epoch, sequence: 0 } };
    case 'Messages.ListRows':
      return { cursor: { epoch, sequence: 0 } };
    case 'Messages.ListReceipts':
      throw new ParleyError('MESSAGE_UNKNOWN', 'there is no such message', {});
    default:
      return {};
  }
}

function* sendCall(
  request: SendRequest,
  caller: Caller,
  surroundings: Surroundings,
): Routine<CallOutcome> {
  const send = prepareSend(request, caller, surroundings);
  const unknown = yield* unknownUsers(send.peer === undefined ? [] : [send.peer]);
  const commit = yield* command(unknown.length > 0 ? send.command('USER_UNKNOWN') : send.command());
  return {
    response: commitResponse(commit, send.conversation, send.conversationId),
    replayed: commit.replayed,
  };
}

/** Marks of another epoch are ignored, and so are those of conversations the caller is not in. */
function* report(
  request: Plain<ReportRequest>,
  caller: Caller,
  surroundings: Surroundings,
): Routine<CallOutcome> {
  const marks = parseReport(request, caller, surroundings.epoch());
  const asks = marks.map(
    (mark): Ask => ({
      ask: 'command',
      bytes: markCommand(caller.user, mark.conversation, mark.deliveredThrough, mark.readThrough),
    }),
  );
  for (const ask of asks) {
    try {
      yield [ask];
    } catch (error) {
      if (!(error instanceof ParleyError) || !IGNORED_OF_MARKS.has(error.reason)) throw error;
    }
  }
  return { response: {}, replayed: false };
}

const IGNORED_OF_MARKS: ReadonlySet<string> = new Set(['NOT_A_MEMBER', 'CONVERSATION_UNKNOWN']);

export interface ReportedMark {
  readonly conversation: Uint8Array;
  readonly conversationId: string;
  readonly deliveredThrough: number;
  readonly readThrough: number;
}

/** The marks of this epoch, one per conversation. Refuses BAD_ID, BAD_FIELD. */
export function parseReport(
  report: Pick<Plain<ReportRequest>, 'delivered' | 'read'>,
  caller: Caller,
  epoch: number,
): readonly ReportedMark[] {
  if (report.delivered.length + report.read.length > MARKS_PER_REPORT_MAX)
    throw badField('delivered', `and read have more than ${MARKS_PER_REPORT_MAX} marks`);
  const merged = new Map<string, ReportedMark>();
  for (const list of ['delivered', 'read'] as const) {
    for (const [i, mark] of report[list].entries()) {
      const field = `${list}[${i}]`;
      const address = parseAddress(mark.conversationId, caller.user, `${field}.conversationId`);
      if (mark.sequence < 0) throw badField(`${field}.sequence`, 'is negative');
      if (mark.epoch !== 0 && mark.epoch !== epoch) continue;
      const known = merged.get(address.conversationId);
      const delivered = Math.max(known?.deliveredThrough ?? 0, mark.sequence);
      const read = list === 'read' ? mark.sequence : 0;
      merged.set(address.conversationId, {
        conversation: address.conversation,
        conversationId: address.conversationId,
        deliveredThrough: delivered,
        readThrough: Math.max(known?.readThrough ?? 0, read),
      });
    }
  }
  return [...merged.values()];
}

function* list(
  request: ListRequest,
  caller: Caller,
  surroundings: Surroundings,
): Routine<CallOutcome> {
  const { response, position } = yield* listConversations(request, caller, surroundings);
  return position === undefined
    ? { response, replayed: false }
    : { response, replayed: false, position };
}

function* identityCall(
  method: IdentityMethod,
  request: object,
  caller: Caller | undefined,
): Routine<CallOutcome> {
  const [response] = yield [{ ask: 'identity', method, caller, request }];
  return { response: response as object, replayed: false };
}

/** A method that needs no caller. */
export function dispatchPublic(method: IdentityMethod, request: object): Routine<CallOutcome> {
  return identityCall(method, request, undefined);
}
