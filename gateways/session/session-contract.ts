/**
 * What a session is told and what it asks for. A session is one live connection's state machine:
 * pure and synchronous, without timers, sockets or encodings; every carrier runs the same one.
 */
import type { Plain, Sparse } from '../../proto/codec.ts';
import type {
  ClientFrame as ClientFrameMessage,
  ServerFrame as ServerFrameMessage,
} from '../../proto/gen/parley/client/v1/session_pb.ts';
import type { Content as ContentMessage } from '../../proto/gen/parley/v1/content_pb.ts';
import type { ParleyError, Reason } from '../../core/errors.ts';
import type { SessionLimits } from './limits.ts';
import type { Caller, Commit } from './caller.ts';
import type { MethodName } from './method-names.ts';
import type { Routine } from './routine.ts';

export type ClientFrame = Plain<ClientFrameMessage>;
export type ServerFrame = Exclude<Sparse<ServerFrameMessage>, Uint8Array>;
export type Content = Plain<ContentMessage>;

/** What all sessions of a gateway share: functions and numbers, no services. */
export interface Surroundings {
  readonly limits: SessionLimits;
  readonly featureLevel: number;
  readonly features: readonly string[];
  readonly shardCount: number;
  epoch(): number;
  wallMs(): number;
  /** Index, by shard, through which everything planned for this gateway has arrived. */
  feedPositions(): readonly number[];
  contentBytes(content: Content): Uint8Array;
  payloadHash(clientMessageId: Uint8Array, body: Uint8Array): Uint8Array;
  /** 16 unpredictable bytes in the form of a UUID. */
  newUuid(): Uint8Array;
  /** Reads a call's request in the connection's encoding; refuses as the contract says. */
  readRequest(method: MethodName, request: unknown): unknown;
  /** Groups of 100 or more, as far as rows showed. */
  isLargeGroup(conversation: Uint8Array): boolean;
  /** Stamp of the newest thing of the conversation that this gateway has seen; 0 = nothing. */
  lastSeenMs(conversation: Uint8Array): number;
}

/** The response of a unary method: its protobuf bytes as the store gave them, or a plain object. */
export type Response = Uint8Array | object;

export type Done<T> = (outcome: T | ParleyError, nowMs: number) => void;

/** What the loop does for a session, in order. */
export type Effect =
  | { readonly is: 'frame'; readonly frame: ServerFrame }
  | {
      readonly is: 'result';
      readonly id: number;
      readonly method: MethodName | undefined;
      readonly response: Response;
    }
  | {
      readonly is: 'commit';
      readonly id: number;
      readonly conversation: Uint8Array;
      readonly conversationId: string;
      readonly commit: Commit;
    }
  | { readonly is: 'verify'; readonly token: string; readonly done: Done<Caller> }
  /** The connection now speaks for this caller: routes go out, an older connection of the device is replaced. */
  | { readonly is: 'admit'; readonly caller: Caller }
  | { readonly is: 'run'; readonly routine: Routine<unknown>; readonly done: Done<unknown> }
  | { readonly is: 'send'; readonly command: Uint8Array; readonly done: Done<Commit> }
  /** Which of these users do not exist. */
  | {
      readonly is: 'unknown-users';
      readonly users: readonly Uint8Array[];
      readonly done: Done<readonly Uint8Array[]>;
    }
  | { readonly is: 'mark'; readonly command: Uint8Array }
  | { readonly is: 'typing'; readonly conversation: Uint8Array; readonly isTyping: boolean }
  | { readonly is: 'close'; readonly code: number; readonly reason: Reason | '' };

/** A row on its way to sessions; made once for all of them. */
export interface RowEvent {
  readonly conversationId: string;
  readonly epoch: number;
  readonly head: number;
  readonly sequence: number;
  readonly isLargeGroup: boolean;
  readonly device: Uint8Array;
  readonly outbox: Uint8Array;
  readonly clientMessageId: Uint8Array;
}

/** What a session gets of a row: nothing, all, all but the body, or the conversation's head. */
export type RowVerdict = 'none' | 'full' | 'stub' | 'head';
