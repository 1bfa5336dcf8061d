/**
 * The wire's shapes (CONTRACT §1, §3, §5, §6) as plain JSON: sparse, so every field but an identity
 * may be absent and then means its default. 64-bit integers are JSON numbers (<= 2^53-1). A tolerant
 * reader: unknown fields and frame kinds are ignored.
 */
import type { Reason } from './reasons.ts';

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]?: B };

/** `usr_` and 26 characters of base32. Plain text is accepted: the brand only documents. */
export type UserId = Brand<string, 'UserId'>;
export type DeviceId = Brand<string, 'DeviceId'>;
export type ConversationId = Brand<string, 'ConversationId'>;
/** Dense 1-based place of a row in its conversation; 0 = before the first. */
export type Sequence = Brand<number, 'Sequence'>;

// --- content -------------------------------------------------------------------------------------

export interface Entity {
  readonly type:
    | 'bold'
    | 'italic'
    | 'strike'
    | 'code'
    | 'pre'
    | 'link'
    | 'mention'
    | 'mention_all'
    | (string & {});
  /** UTF-16 units; absent = 0. */
  readonly offset?: number;
  readonly length?: number;
  readonly userId?: UserId;
  readonly url?: string;
}

export interface Text {
  readonly body: string;
  readonly entities?: readonly Entity[];
}

export interface Attachment {
  readonly mediaId: string;
  readonly name?: string;
  readonly width?: number;
  readonly height?: number;
  /** base64 */
  readonly preview?: string;
}

/** What a person sends: `{ text: { body: 'hi' } }`. */
export interface TextMessage {
  readonly text?: Text;
  readonly attachments?: readonly Attachment[];
  readonly replyTo?: Sequence;
  readonly forwardOf?: string;
  readonly custom?: { readonly schema: string; readonly data: string };
  readonly fallback?: string;
  readonly expireAfterMs?: number;
  readonly silent?: boolean;
}

export interface Target {
  readonly sequence?: Sequence;
  readonly clientSeq?: number;
}

/** A row's body: exactly one key is set; a later kind shows its message's `fallback`. */
export interface Body {
  readonly message?: TextMessage;
  readonly edit?: { readonly target: Target; readonly message: TextMessage };
  readonly delete?: { readonly target: Target };
  readonly reaction?: {
    readonly target: Target;
    readonly emoji: string;
    readonly op?: 'add' | 'remove';
  };
  readonly pin?: { readonly target: Target; readonly op?: 'add' | 'remove' };
  readonly sealed?: { readonly scheme?: string; readonly countable?: boolean };
  readonly created?: { readonly name?: string; readonly userIds?: readonly UserId[] };
  readonly member?: MemberChange;
  readonly update?: {
    readonly fields?: readonly string[];
    readonly name?: string;
    readonly closed?: boolean;
  };
  readonly trim?: { readonly from?: Sequence; readonly through?: Sequence };
}

export interface MemberChange {
  readonly userIds?: readonly UserId[];
  readonly change?: 'added' | 'joined' | 'left' | 'removed' | 'role';
  readonly role?: Role;
  readonly by?: UserId;
}

// --- resources -----------------------------------------------------------------------------------

export type Role = 'member' | 'owner' | 'admin' | 'guest';

export interface User {
  readonly userId: UserId;
  readonly kind?: 'person' | 'bot' | 'guest' | 'service';
  readonly username?: string;
  readonly displayName?: string;
  readonly pictureMediaId?: string;
  readonly pictureUrl?: string;
  readonly statusText?: string;
  readonly lastSeenTimeMs?: number;
  readonly createTimeMs?: number;
  readonly updateTimeMs?: number;
  readonly etag?: string;
}

export interface Device {
  readonly deviceId: DeviceId;
  readonly name?: string;
  readonly platform?: string;
  readonly lastSeenTimeMs?: number;
  readonly createTimeMs?: number;
}

export interface Session {
  readonly sessionId: string;
  readonly deviceId: DeviceId;
  readonly deviceName?: string;
  readonly platform?: string;
  readonly current?: boolean;
  readonly createTimeMs?: number;
  readonly lastSeenTimeMs?: number;
}

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresInMs: number;
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly sessionId: string;
}

export interface ConversationSettings {
  readonly history?: 'from_join' | 'all';
  readonly send?: 'all' | 'admins';
  readonly add?: 'admins' | 'all';
  readonly slowModeMs?: number;
}

/** A conversation's resource, as this user sees it. */
export interface ConversationResource {
  readonly conversationId: ConversationId;
  readonly kind?: 'direct' | 'group';
  readonly name?: string;
  readonly pictureMediaId?: string;
  readonly creatorUserId?: UserId;
  readonly encryption?: 'none' | 'mls';
  readonly memberCount?: number;
  readonly membersMax?: number;
  readonly settings?: ConversationSettings;
  readonly closed?: boolean;
  readonly pins?: readonly Sequence[];
  readonly epoch?: number;
  readonly head?: Sequence;
  readonly messageCount?: number;
  readonly lastMessage?: Message;
  readonly me?: MyRegisters;
  readonly peerUserId?: UserId;
  readonly peerDeliveredThrough?: Sequence;
  readonly peerReadThrough?: Sequence;
  readonly createTimeMs?: number;
  readonly updateTimeMs?: number;
  readonly etag?: string;
}

export interface MyRegisters {
  /** Absent = not a member. */
  readonly role?: Role | '';
  readonly historyFrom?: Sequence;
  readonly readThrough?: Sequence;
  readonly deliveredThrough?: Sequence;
  readonly unreadCount?: number;
  readonly mentionCount?: number;
  readonly notify?: 'all' | 'mentions' | 'none';
  readonly muteUntilMs?: number;
  readonly archived?: boolean;
  readonly pinned?: boolean;
  readonly markedUnread?: boolean;
  readonly clearedThrough?: Sequence;
}

export interface Member {
  readonly userId: UserId;
  readonly role?: Role;
  readonly joinTimeMs?: number;
  readonly joinSequence?: Sequence;
  readonly invitedBy?: UserId;
}

/** One sequenced record as it was appended. */
export interface LogRow {
  readonly sequence: Sequence;
  readonly timeMs?: number;
  readonly senderUserId?: UserId;
  readonly senderDeviceId?: DeviceId;
  readonly outboxId?: string;
  readonly clientSeq?: number;
  readonly clientMessageId?: string;
  /** Absent: redacted, or a stub on the connection that sent it. */
  readonly body?: Body;
}

export interface ReactionCount {
  readonly emoji: string;
  readonly count?: number;
  readonly me?: boolean;
}

/** A row as it stands after edits and deletes. */
export interface Message {
  readonly sequence: Sequence;
  readonly timeMs?: number;
  readonly senderUserId?: UserId;
  readonly senderDeviceId?: DeviceId;
  readonly outboxId?: string;
  readonly clientSeq?: number;
  readonly clientMessageId?: string;
  /** Absent when deleted. */
  readonly content?: Body;
  readonly editTimeMs?: number;
  readonly editCount?: number;
  readonly deleted?: boolean;
  readonly reactions?: readonly ReactionCount[];
  readonly changeSequence?: Sequence;
  readonly messageId?: string;
}

export interface Receipt {
  readonly userId: UserId;
  readonly deliveredThrough?: Sequence;
  readonly readThrough?: Sequence;
  readonly deliveredTimeMs?: number;
  readonly readTimeMs?: number;
}

export interface ReceiptCounts {
  readonly sequence: Sequence;
  /** Recipients. */
  readonly of?: number;
  readonly queued?: number;
  readonly delivered?: number;
  readonly read?: number;
}

export interface Cursor {
  readonly epoch?: number;
  readonly sequence?: Sequence;
}

// --- frames --------------------------------------------------------------------------------------

export interface ReceiptMark {
  readonly conversationId: ConversationId;
  readonly epoch?: number;
  readonly sequence: Sequence;
}

export interface SendRequest {
  readonly to: string;
  readonly outboxId: string;
  readonly clientSeq: number;
  readonly after?: number;
  readonly clientMessageId: string;
  readonly body: Body;
}

export interface ClientFrame {
  readonly id?: number;
  readonly hello?: {
    readonly token: string;
    readonly push?: 'full' | 'heads';
    readonly features?: readonly string[];
    readonly resume?: {
      readonly syncToken: string;
      readonly cursors: readonly (Cursor & { readonly conversationId: ConversationId })[];
    };
  };
  readonly send?: SendRequest;
  readonly call?: { readonly method: string; readonly request: unknown };
  readonly receipt?: {
    readonly delivered?: readonly ReceiptMark[];
    readonly read?: readonly ReceiptMark[];
  };
  readonly typing?: {
    readonly conversationId: ConversationId;
    readonly state: 'typing' | 'stopped';
  };
  readonly focus?: {
    readonly conversations: readonly ConversationId[];
    readonly users: readonly UserId[];
  };
  readonly auth?: { readonly token: string };
  readonly ping?: Record<string, never>;
  readonly pong?: Record<string, never>;
  readonly bye?: Record<string, never>;
}

export interface Commit {
  readonly conversationId: ConversationId;
  readonly sequence: Sequence;
  readonly messageId?: string;
  readonly timeMs?: number;
  readonly queued?: number;
  readonly replayed?: boolean;
}

export interface Ready {
  readonly connectionId?: string;
  readonly resumed?: boolean;
  readonly featureLevel?: number;
  readonly features?: readonly string[];
  readonly serverTimeMs?: number;
  readonly pingIntervalMs?: number;
  readonly reconnect?: { readonly baseMs?: number; readonly maxMs?: number };
  readonly userId?: UserId;
  readonly deviceId?: DeviceId;
  readonly epoch?: number;
}

export interface WireError {
  readonly code?: string;
  readonly reason?: Reason | (string & {});
  readonly message?: string;
  readonly requestId?: string;
  readonly retryAfterMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface ConversationRows {
  readonly conversationId: ConversationId;
  readonly epoch?: number;
  readonly head?: Sequence;
  readonly rows?: readonly LogRow[];
}

export interface Head {
  readonly conversationId: ConversationId;
  readonly epoch?: number;
  readonly head?: Sequence;
  readonly messageCount?: number;
  readonly lastMessage?: Message;
}

export interface MyMarks {
  readonly readThrough?: Sequence;
  readonly deliveredThrough?: Sequence;
  readonly unreadCount?: number;
  readonly mentionCount?: number;
  readonly head?: Sequence;
}

export interface ReceiptsFrame {
  readonly conversationId: ConversationId;
  readonly peer?: {
    readonly userId?: UserId;
    readonly deliveredThrough?: Sequence;
    readonly readThrough?: Sequence;
    readonly timeMs?: number;
  };
  readonly counts?: readonly ReceiptCounts[];
  readonly me?: MyMarks;
}

export interface Gap {
  readonly scope?: 'conversation' | 'all';
  readonly conversationId?: ConversationId;
  readonly from?: Sequence;
  readonly head?: Sequence;
  readonly reason?: string;
  readonly epoch?: number;
}

export interface ServerFrame {
  readonly id?: number;
  readonly ready?: Ready;
  readonly commit?: Commit;
  readonly result?: unknown;
  readonly error?: WireError;
  readonly rows?: { readonly items?: readonly ConversationRows[] };
  readonly heads?: { readonly items?: readonly Head[] };
  readonly conversations?: {
    readonly items?: readonly ConversationResource[];
    readonly removed?: readonly ConversationId[];
  };
  readonly receipts?: ReceiptsFrame;
  readonly token?: { readonly syncToken?: string };
  readonly typing?: {
    readonly conversationId: ConversationId;
    readonly userId?: UserId;
    readonly state?: 'typing' | 'stopped';
  };
  readonly caughtUp?: { readonly syncToken?: string };
  readonly gap?: Gap;
  readonly flow?: { readonly scope?: string; readonly retryAfterMs?: number };
  readonly drain?: { readonly reconnectAfterMs?: number };
  readonly auth?: { readonly expiresInMs?: number };
  readonly close?: { readonly code?: number; readonly reason?: Reason | (string & {}) };
  readonly ping?: unknown;
  readonly pong?: unknown;
}

// --- unary answers -------------------------------------------------------------------------------

export interface ListConversationsAnswer {
  readonly conversations?: readonly ConversationResource[];
  readonly recent?: readonly {
    readonly conversationId: ConversationId;
    readonly messages?: readonly Message[];
  }[];
  readonly removed?: readonly ConversationId[];
  readonly nextPageToken?: string;
  readonly syncToken?: string;
  readonly total?: number;
}

export interface SyncConversationAnswer {
  readonly changed?: readonly Message[];
  readonly messages?: readonly Message[];
  readonly hole?: { readonly after?: Sequence; readonly before?: Sequence };
  readonly conversation?: ConversationResource;
  readonly members?: readonly Member[];
  readonly receipts?: readonly Receipt[];
  readonly cursor?: Cursor;
  readonly nextPageToken?: string;
}

export interface ListMessagesAnswer {
  readonly messages?: readonly Message[];
  readonly asOf?: Sequence;
  readonly first?: Sequence;
  readonly head?: Sequence;
  readonly samples?: readonly { readonly sequence: Sequence; readonly timeMs: number }[];
  /** Fewer than asked for because more would be too large: there is more beyond its end. */
  readonly cut?: boolean;
}
