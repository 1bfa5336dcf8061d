/**
 * What an application sees (CLIENT §1). State is read from `Store`s and changes only through them;
 * `on` is for side effects (a notification, a sound), never for state. Everything here is
 * synchronous and works offline unless it returns a promise.
 */
import type {
  ConversationId,
  ConversationSettings,
  Device,
  DeviceId,
  Member,
  MemberChange,
  ReactionCount,
  Receipt,
  Role,
  Sequence,
  Session,
  TextMessage,
  User,
  UserId,
} from './contract.ts';
import type { HostPort } from './host.ts';
import type { LockPort } from './locks.ts';
import type { Reason } from './reasons.ts';
import type { StorePort } from './stores/store-port.ts';
import type { Transport } from './transport.ts';

/** `get()` returns the same object until the value changes; subscribers are told afterwards. */
export interface Store<T> {
  get(): T;
  subscribe(fn: () => void): () => void;
}

/** The clientMessageId (UUID) of a message, its name for ever (S1). Holes and service rows have keys
 * of their own; a row never changes key. */
export type Key = string;

/** Content of a message: `{ text: { body: 'hi' } }`. */
export type Content = Omit<TextMessage, 'replyTo'>;

export type SendState =
  | {
      readonly is: 'SENDING';
      readonly step: 'saving' | 'queued' | 'uploading' | 'in-flight';
      readonly done?: number;
    }
  | { readonly is: 'SENT' | 'STORED' | 'DELIVERED' | 'READ' }
  /** Not `retryable`: the same can never be accepted; it is discarded, or written anew. */
  | { readonly is: 'FAILED'; readonly reason: Reason; readonly retryable: boolean };

export interface Accepted {
  readonly conversationId: ConversationId;
  readonly sequence: Sequence;
  readonly timeMs: number;
}

/** One's own send, edit, removal or reaction on its way. */
export interface MessageRef {
  readonly key: Key;
  readonly state: Store<SendState>;
  /**
   * Settles when it is durable on the server, in a later life of the client if need be; rejects with
   * ClientError when it FAILED or was cancelled; COMMIT_UNKNOWN where nobody can tell whether it stands:
   * another owner dealt with it, or an earlier run left it and what may hold it cannot be read any more.
   */
  readonly accepted: Promise<Accepted>;
  /** After FAILED: the same key again. Nothing while the client is stopped or a follower. */
  retry(): void;
  /**
   * True if it was never transmitted and now never will be, or had FAILED and is given up: should that
   * stand after all, it appears by its row. Never of a stopped client or a follower.
   */
  cancel(): boolean;
}

// --- rows ----------------------------------------------------------------------------------------

export interface Quote {
  readonly sequence: Sequence;
  /** Absent while the quoted message is not loaded. */
  readonly key?: Key;
  readonly sender?: UserId;
  readonly text?: string;
  readonly deleted?: boolean;
}

export interface MessageRow {
  readonly is: 'message';
  readonly key: Key;
  /** Absent while it is on this device only. */
  readonly sequence?: Sequence;
  /** Server time; of a pending row the local time of queueing (shown, never sorted by). */
  readonly timeMs: number;
  readonly sender: UserId;
  readonly mine: boolean;
  /** Absent when deleted. Carries `replyTo` as a sequence. */
  readonly content?: TextMessage;
  readonly deleted: boolean;
  readonly edited: boolean;
  readonly editTimeMs?: number;
  readonly reactions: readonly ReactionCount[];
  readonly quote?: Quote;
  /** Own rows: the tick. A store of its own, so a receipt renders only the ticks it moves (S10). */
  readonly state?: Store<SendState>;
  /** Own row still on its way, or failed: retry() and cancel() are there. */
  readonly pending?: MessageRef;
  /** Newest own edit, removal or reaction on this row that is not settled; already shown in the row. */
  readonly change?: MessageRef;
}

/** Something the server wrote: created, members, renamed. */
export interface ServiceRow {
  readonly is: 'service';
  readonly key: Key;
  readonly sequence: Sequence;
  readonly timeMs: number;
  readonly created?: {
    readonly name: string;
    readonly by: UserId;
    readonly users: readonly UserId[];
  };
  readonly member?: MemberChange;
  readonly update?: { readonly fields: readonly string[]; readonly name?: string };
}

/** Rows that are not on this device: sequences after `after` and before `before`. */
export interface HoleRow {
  readonly is: 'hole';
  readonly key: Key;
  readonly after: Sequence;
  readonly before: Sequence;
}

/** Encrypted, and its key is not here yet. */
export interface WaitingRow {
  readonly is: 'waiting';
  readonly key: Key;
  readonly sequence: Sequence;
  readonly timeMs: number;
  readonly sender: UserId;
  readonly mine: boolean;
}

export type Row = MessageRow | ServiceRow | HoleRow | WaitingRow;

// --- conversation --------------------------------------------------------------------------------

/** What a conversation is to this user now. */
export interface Info {
  readonly id: ConversationId;
  readonly kind: 'direct' | 'group';
  /** Group: its name. Direct: the other's display name, or '' until people knows it. */
  readonly name: string;
  /** Direct: the other user; oneself in notes to self. */
  readonly peer?: UserId;
  readonly memberCount: number;
  readonly settings: ConversationSettings;
  readonly closed: boolean;
  /** Own role; absent = not a member (any more). */
  readonly role?: Role;
  /** Whether a send may succeed: a member, not closed, and the settings let this role write. */
  readonly canSend: boolean;
  /** False while it exists on this device only. */
  readonly onServer: boolean;
  /** Why an offline-made group could not be created, if so. */
  readonly failed?: Reason;
  readonly head: Sequence;
  readonly first: Sequence;
  readonly readThrough: Sequence;
  readonly unread: number;
  readonly mentions: number;
  readonly markedUnread: boolean;
  readonly notify: 'all' | 'mentions' | 'none';
  readonly muteUntilMs: number;
  readonly archived: boolean;
  readonly pinned: boolean;
}

/** One row of the conversation list. */
export interface ConversationRow {
  readonly id: ConversationId;
  readonly kind: 'direct' | 'group';
  readonly name: string;
  readonly peer?: UserId;
  /** Newest message, or the newest own pending one. */
  readonly last?: {
    readonly key: Key;
    readonly sender: UserId;
    readonly mine: boolean;
    readonly text: string;
    readonly deleted: boolean;
    readonly timeMs: number;
    readonly state?: Store<SendState>;
  };
  readonly timeMs: number;
  readonly unread: number;
  readonly mentions: number;
  readonly markedUnread: boolean;
  readonly muted: boolean;
  readonly pinned: boolean;
  readonly archived: boolean;
  /** Text of the draft, if there is one. */
  readonly draft?: string;
  /** Own messages not yet on the server. */
  readonly waiting: number;
  readonly typing: readonly UserId[];
}

export interface ListWindow
  extends Store<{
    readonly total: number;
    readonly start: number;
    readonly rows: readonly ConversationRow[];
    readonly freshness: 'cached' | 'catching-up' | 'live';
  }> {
  show(start: number, count: number): void;
  close(): void;
}

/** Text in the making; saved 300 ms after the last `set` (S19), cleared by `send` and `edit` (S4). */
export interface Draft {
  readonly text: string;
  readonly replyTo?: Key;
  /** The message being edited, if so. */
  readonly editOf?: Key;
  /** What was being written when the edit began; `edit` gives it back as the next draft's text. */
  readonly aside?: string;
}

export interface DraftStore extends Store<Draft> {
  set(draft: Draft): void;
}

/** Counts over a message's recipients, and on demand who they are. */
export interface Receipts {
  readonly of: number;
  readonly queued: number;
  readonly delivered: number;
  readonly read: number;
}

export interface ReceiptsStore extends Store<Receipts> {
  who(): Promise<readonly Receipt[]>;
}

export interface Members
  extends Store<{ readonly items: readonly Member[]; readonly complete: boolean }> {
  /** Reads them from the server; the store keeps what it has until then. */
  load(): Promise<void>;
  add(users: readonly UserId[], role?: Role): Promise<void>;
  remove(user: UserId): Promise<void>;
  setRole(user: UserId, role: Role): Promise<void>;
  leave(): Promise<void>;
}

/** Later: every call rejects with FEATURE_DISABLED. */
export interface Invites {
  create(): Promise<never>;
  list(): Promise<never>;
}

export type Place =
  | 'latest'
  | 'first-unread'
  | { readonly sequence: Sequence }
  | { readonly key: Key }
  | { readonly at: Date };

export interface TimelineState {
  /** Reading order: committed by sequence, then own pending ones in the order of writing (S2). */
  readonly rows: readonly Row[];
  /** First sequence this user may read. */
  readonly first: Sequence;
  readonly head: Sequence;
  /** Where the unread line stands: sequence of the first unread row when the timeline was opened. */
  readonly newFrom?: Sequence;
  /** Messages of others below the window's last row: the jump button's number. */
  readonly below: number;
  readonly loading?: 'older' | 'newer' | 'jump';
  readonly failed?: Reason;
  /** Whether the window reaches the head. */
  readonly atEnd: boolean;
}

export interface Timeline extends Store<TimelineState> {
  /** Loads about 50 more rows at an edge, from the device or the server. At most 200 rows stay. */
  more(edge: 'older' | 'newer'): Promise<void>;
  moveTo(place: Place): Promise<void>;
  /** False: the reader is not at the end, so arrivals stay out of `rows` and count in `below`. */
  follow(isFollowing: boolean): void;
  close(): void;
}

export interface SendOptions {
  readonly replyTo?: Key;
  /** Not before this own message was accepted. */
  readonly after?: Key;
}

export interface Conversation {
  readonly id: ConversationId;
  readonly info: Store<Info>;
  readonly members: Members;
  readonly invites: Invites;
  readonly draft: DraftStore;
  readonly typing: Store<readonly UserId[]>;
  /** At most 3 are open; a fourth closes the one opened first (S14). */
  timeline(at?: Place): Timeline;
  receipts(sequence: Sequence): ReceiptsStore;
  /** Synchronous: the row exists on return. Clears the draft in the same transaction (S4). */
  send(content: Content, options?: SendOptions): MessageRef;
  edit(key: Key, content: Content): MessageRef;
  remove(key: Key, scope: 'me' | 'all'): MessageRef;
  react(key: Key, emoji: string, on: boolean): MessageRef;
  setTyping(): void;
  markRead(sequence: Sequence): void;
  markUnread(): void;
  notify(level: 'all' | 'mentions' | 'none', until?: Date): void;
  /** Name and settings of a group. */
  update(change: {
    readonly name?: string;
    readonly settings?: ConversationSettings;
  }): Promise<void>;
}

// --- client --------------------------------------------------------------------------------------

export interface Credential {
  readonly token: string;
  readonly userId: UserId;
  readonly deviceId?: DeviceId;
  /** Life left when it was handed over; one that ends is refused here (S17). */
  readonly expiresInMs?: number;
}

/** start: first use · expiring: the server warned · refused: the server said no to the last one. */
export type CredentialWhy = 'start' | 'expiring' | 'refused';

export type Phase = 'stopped' | 'offline' | 'connecting' | 'catching-up' | 'live';

export interface ConnectionState {
  readonly phase: Phase;
  /** Connecting or catching up for more than 5 s. */
  readonly slow: boolean;
  /** This copy may not write: another tab or process owns the account's data here. */
  readonly readOnly: boolean;
  /** False: the device's storage failed; what is written lives until this page closes. */
  readonly saved: boolean;
  /** Another tab or process took over (S11): `takeOver()` brings it back. */
  readonly follower: boolean;
  readonly transport?: 'websocket' | 'long-poll' | 'connect';
  /** Local time of the next attempt. */
  readonly nextTryAt?: number;
  /** Why it is not live. SESSION_REVOKED, TOKEN_INVALID, DEVICE_UNKNOWN: sign in anew. */
  readonly reason?: Reason;
}

export interface Me extends Store<User> {
  update(change: { readonly displayName?: string; readonly statusText?: string }): Promise<void>;
}

export interface Devices {
  sessions(): Promise<readonly Session[]>;
  revoke(sessionId: string): Promise<void>;
  list(): Promise<readonly Device[]>;
}

export interface People {
  /** A user as known here; asked for in the background if unknown. */
  get(id: UserId): Store<User | undefined>;
  search(text: string): Promise<readonly User[]>;
}

export interface Events {
  /** Another's message arrived live: for notifications and sounds. */
  message: { readonly conversationId: ConversationId; readonly row: MessageRow };
  /** Own send was refused. */
  failed: { readonly conversationId: ConversationId; readonly key: Key; readonly reason: Reason };
  removed: { readonly conversationId: ConversationId };
  signedOut: { readonly reason: Reason };
  replaced: Record<string, never>;
}

/** FEATURE_DISABLED until push exists here: stays 'unsupported'. */
export interface Push extends Store<'unsupported' | 'install-first' | 'ask' | 'on' | 'denied'> {
  enable(): Promise<void>;
  disable(): Promise<void>;
}

export interface Presence {
  readonly status: 'online' | 'away' | 'busy' | 'offline';
  readonly lastSeenTimeMs?: number;
}

export interface Found {
  readonly hits: readonly {
    readonly conversationId: ConversationId;
    readonly sequence: Sequence;
  }[];
}

/** Later parts; named so that an application's types stay when they come. */
export interface MediaPort {
  prepare(file: Blob): Promise<unknown>;
}
export interface E2eePort {
  safetyNumber(user: UserId): Promise<string>;
}

export type Filter = 'all' | 'unread' | 'mentions' | 'groups' | 'archived';

export interface Client {
  /** Cache readable when it resolves; never waits for the network, but for the very first credential. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Ends the session on the server as far as reachable; `wipe` removes all this device holds. */
  signOut(wipe: boolean): Promise<void>;
  /** A follower becomes the owner again; calls at once share one. */
  takeOver(): Promise<void>;
  readonly connection: Store<ConnectionState>;
  readonly me: Me;
  readonly devices: Devices;
  readonly people: People;
  readonly unread: Store<{ readonly messages: number; readonly mentions: number }>;
  readonly push: Push;
  conversations(query: { readonly filter: Filter; readonly text?: string }): ListWindow;
  conversation(id: ConversationId): Conversation;
  direct(user: UserId): Conversation;
  /** Its id is derived here: works offline, its sends wait until the server made it. */
  createGroup(group: { readonly name: string; readonly members: readonly UserId[] }): Conversation;
  /** Later: throws FEATURE_DISABLED. */
  search(query: {
    readonly text: string;
    readonly in?: ConversationId;
    readonly from?: UserId;
    readonly before?: Date;
  }): Store<Found>;
  /** Later: throws FEATURE_DISABLED. */
  presence(users: readonly UserId[]): Store<ReadonlyMap<UserId, Presence>>;
  on<E extends keyof Events>(event: E, fn: (x: Events[E]) => void): () => void;
}

export interface ClientOptions {
  /** The server's HTTP URL; `/v1/ws` below it is the live connection. */
  readonly url: string;
  /** Asked at start, on the expiry warning and on refusal; never per reconnect. */
  credential(why: CredentialWhy): Promise<Credential>;
  /** Default: in memory. */
  readonly store?: StorePort;
  /** What the cache may hold, as JSON; the oldest messages go first. Default: 200 MB. */
  readonly cacheBytesMax?: number;
  /** Default: WebSocket. In order of preference. */
  readonly transports?: readonly Transport[];
  /** Browsers: `webLocks()`. Default: no other owner is looked for. */
  readonly locks?: LockPort;
  /** Clock, timers, randomness, network events. Default: this platform's. */
  readonly host?: HostPort;
  readonly e2ee?: E2eePort;
  readonly media?: MediaPort;
}

export type CreateClient = (options: ClientOptions) => Client;
