/**
 * Broker.Publish: sends on behalf of users, proposed and answered in the order of the requests,
 * exactly one answer each. At most PUBLISH_IN_FLIGHT are under way, or answers that nobody takes; then
 * the stream is not read, and HTTP/2 holds it back.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, messageIdRaw, parseId } from '../../core/ids.ts';
import { NO_ID } from '../../core/command.ts';
import type { Fields } from '../../proto/codec.ts';
import type {
  PublishRequest,
  PublishResponse,
} from '../../proto/gen/parley/broker/v1/broker_pb.ts';
import type { KnownUsers } from '../known-users.ts';
import { prepareSend } from '../session/send.ts';
import type { Caller, Commit } from '../session/caller.ts';
import type { Surroundings } from '../session/session-contract.ts';
import type { StoreLink } from '../store-link.ts';
import { publishError, refusalOf, type Received } from './grpc-calls.ts';

export const PUBLISH_IN_FLIGHT = 1024;

export interface PublishParts {
  readonly link: StoreLink;
  readonly users: KnownUsers;
  readonly surroundings: Pick<Surroundings, 'contentBytes' | 'payloadHash' | 'newUuid'>;
}

type PublishStream = ServerDuplexStream<Received<PublishRequest>, Fields<PublishResponse>>;

interface Place {
  answer: Fields<PublishResponse> | undefined;
}

/** undefined = it was refused before it came to that. */
type Proposal = (() => void) | undefined;

export function publish(stream: PublishStream, parts: PublishParts): void {
  // Answers wait here until everything before them has been answered.
  const order: Place[] = [];
  // Sends whose users are being looked up, and those behind them, in order.
  const lookups: { proposal: Proposal; isKnown: boolean }[] = [];
  let hasEnded = false;
  let isRefused = false;
  const release = (): void => {
    let isTaken = !stream.writableNeedDrain;
    while (isTaken && order[0]?.answer !== undefined)
      isTaken = stream.write(order.shift()?.answer ?? {});
    if (isTaken && order.length < PUBLISH_IN_FLIGHT) stream.resume();
    if (hasEnded && order.length === 0) stream.end();
  };
  const proposeKnown = (): void => {
    while (lookups[0]?.isKnown === true) lookups.shift()?.proposal?.();
  };
  stream.on('data', (request: Received<PublishRequest>) => {
    if (isRefused) return;
    const place: Place = { answer: undefined };
    order.push(place);
    if (order.length >= PUBLISH_IN_FLIGHT) stream.pause();
    const lookup: (typeof lookups)[number] = { proposal: undefined, isKnown: false };
    lookups.push(lookup);
    const answered = (answer: Fields<PublishResponse>): void => {
      place.answer = answer;
      release();
    };
    one(request, parts, answered, (proposal) => {
      Object.assign(lookup, { proposal, isKnown: true });
      proposeKnown();
    });
  });
  stream.on('drain', release);
  stream.on('end', () => {
    hasEnded = true;
    release();
  });
  // The caller went away, or his token was revoked: what is under way is committed or not.
  stream.on('error', () => {
    isRefused = true;
  });
}

function one(
  request: Received<PublishRequest>,
  parts: PublishParts,
  done: (answer: Fields<PublishResponse>) => void,
  looked: (proposal: Proposal) => void,
): void {
  const refuse = (error: ParleyError): void => done(publishError(error));
  const refuseUnasked = (error: ParleyError): void => {
    looked(undefined);
    refuse(error);
  };
  try {
    if (request instanceof ParleyError) return refuseUnasked(request);
    if (request.send === undefined)
      throw new ParleyError('BAD_FIELD', 'send is missing', { field: 'send' });
    const caller = callerOf(request.as);
    const send = prepareSend(request.send, caller, parts.surroundings);
    const commit = (isUnknown: boolean): void =>
      parts.link.command(send.command(isUnknown ? 'USER_UNKNOWN' : undefined), (outcome) =>
        outcome instanceof ParleyError
          ? refuse(outcome)
          : done({ commit: commitOf(outcome, send) }),
      );
    const asked = send.peer === undefined ? [caller.user] : [caller.user, send.peer];
    parts.users.unknown(asked, (outcome) =>
      outcome instanceof ParleyError
        ? refuseUnasked(outcome)
        : looked(() => commit(outcome.length > 0)),
    );
  } catch (error) {
    refuseUnasked(refusalOf(error));
  }
}

function commitOf(
  commit: Commit,
  send: { conversation: Uint8Array; conversationId: string },
): NonNullable<Fields<PublishResponse>['commit']> {
  const messageId = encodeId(
    'msg',
    messageIdRaw(commit.timeMs, commit.sequence, send.conversation),
  );
  return { ...commit, conversationId: send.conversationId, messageId };
}

/** A user in whose name a service speaks: no device of his did it. */
function callerOf(as: string): Caller {
  if (as === '')
    throw new ParleyError(
      'BAD_FIELD',
      'a service has no user of its own: say whose name it speaks in',
      { field: 'as' },
    );
  const user = parseId('usr', as, 'as');
  return {
    userId: as,
    user,
    deviceId: '',
    device: NO_ID,
    sessionId: '',
    session: NO_ID,
    scopes: ['act_as'],
    expiresAtMs: Infinity,
  };
}
