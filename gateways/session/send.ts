/**
 * From a send as a client wrote it to the command that is proposed. Everything that can be judged
 * without the log is judged here; a refusal by facts outside the log becomes a veto inside the
 * command, so that a repeated send still gets its original commit (CONTRACT §3 G5).
 */
import { isZero, utf8 } from '../../core/bytes.ts';
import { encodeSend, NO_ID, SEND_FLAG } from '../../core/command.ts';
import { ParleyError, type Reason } from '../../core/errors.ts';
import { decodeUuid } from '../../core/ids.ts';
import type { Plain } from '../../proto/codec.ts';
import type { SendRequest as SendRequestMessage } from '../../proto/gen/parley/client/v1/messages_pb.ts';
import { parseAddress } from './address.ts';
import { checkContent, type ContentFacts } from './content.ts';
import { CONTENT_BYTES_MAX } from './limits.ts';
import { badField, tooLarge } from './refusals.ts';
import type { Caller } from './caller.ts';
import type { Surroundings } from './session-contract.ts';

export type SendRequest = Plain<SendRequestMessage>;

export interface PreparedSend {
  readonly conversation: Uint8Array;
  readonly conversationId: string;
  /** The other user of a direct, who must exist; undefined = nobody to ask about. */
  readonly peer: Uint8Array | undefined;
  readonly clientMessageId: Uint8Array;
  /** undefined = a caller without an outbox. */
  readonly outbox: Uint8Array | undefined;
  /** The command; with a reason it carries that refusal as a veto. */
  command(veto?: Reason): Uint8Array;
}

/** Refuses a send by its form. */
export function prepareSend(
  request: SendRequest,
  caller: Caller,
  surroundings: Pick<Surroundings, 'contentBytes' | 'payloadHash' | 'newUuid'>,
): PreparedSend {
  const address = parseAddress(request.to, caller.user, 'to');
  const body = request.body === undefined ? undefined : surroundings.contentBytes(request.body);
  if (body !== undefined && body.length > CONTENT_BYTES_MAX)
    throw tooLarge('body', CONTENT_BYTES_MAX);
  const facts = checkContent(request.body);
  const outbox = request.outboxId === '' ? undefined : uuid(request.outboxId, 'outboxId');
  checkNumbers(request, outbox !== undefined);
  const clientMessageId =
    request.clientMessageId === '' && outbox === undefined
      ? surroundings.newUuid()
      : uuid(request.clientMessageId, 'clientMessageId');
  const bytes = body ?? new Uint8Array(0);
  const hash = surroundings.payloadHash(clientMessageId, bytes);
  const { conversation, conversationId, peer } = address;
  return {
    conversation,
    conversationId,
    peer,
    clientMessageId,
    outbox,
    command: (veto = facts.veto) =>
      encodeSend({
        timeMs: 0,
        key: conversation,
        caller: caller.user,
        flags: flagsOf(facts, outbox !== undefined, peer !== undefined, veto !== undefined),
        bodyKind: facts.bodyKind,
        clientSeq: request.clientSeq,
        after: request.after,
        target: veto === undefined ? facts.target : 0,
        device: caller.device,
        outbox: outbox ?? NO_ID,
        clientMessageId,
        payloadHash: hash,
        peer: peer ?? NO_ID,
        mentions: facts.mentions,
        body: veto === undefined ? bytes : utf8(veto),
      }),
  };
}

function flagsOf(
  facts: ContentFacts,
  hasOutbox: boolean,
  isDirect: boolean,
  isVeto: boolean,
): number {
  const aim = isVeto ? facts.flags & ~SEND_FLAG.targetIsClientSeq : facts.flags;
  return (
    aim |
    (hasOutbox ? SEND_FLAG.outbox : 0) |
    (isDirect ? SEND_FLAG.direct : 0) |
    (isVeto ? SEND_FLAG.veto : 0)
  );
}

function checkNumbers(request: SendRequest, hasOutbox: boolean): void {
  const { clientSeq, after } = request;
  if (!hasOutbox) {
    if (clientSeq !== 0 || after !== 0) throw badField('clientSeq', 'needs an outboxId');
    return;
  }
  if (clientSeq < 1) throw badField('clientSeq', 'begins at 1');
  if (after < 0 || after >= clientSeq) throw badField('after', 'is not below clientSeq');
}

function uuid(text: string, field: string): Uint8Array {
  const raw = decodeUuid(text);
  // The nil UUID stands for "none" in commands and rows.
  if (raw === undefined || isZero(raw))
    throw new ParleyError('BAD_ID', `${field} is not a UUID`, { field });
  return raw;
}
