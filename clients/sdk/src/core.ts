/** What conversations, timelines and lists need of the client around them. */
import type { ConversationId, Sequence, UserId } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { History } from './history.ts';
import type { HostPort } from './host.ts';
import type { LocalGroup } from './info.ts';
import type { Outbox } from './outbox.ts';
import type { PeopleStore } from './people.ts';
import type { Span } from './ranges.ts';

export interface OpenTimeline {
  close(): void;
  /** The positions it covers. */
  shown(): Span;
}

export interface Core {
  readonly host: HostPort;
  readonly outbox: Outbox;
  readonly people: PeopleStore;
  readonly history: History;
  me(): UserId;
  log(id: ConversationId): ConversationLog | undefined;
  /** Made here and not yet on the server. */
  localGroup(id: ConversationId): LocalGroup | undefined;
  /** False: a follower, which may not write. */
  mayWrite(): boolean;
  isReady(): boolean;
  call<T>(method: string, request: unknown): Promise<T>;
  /** The same, but waits for a connection first: what a person asked for. */
  ask<T>(method: string, request: unknown): Promise<T>;
  /** Somebody looks at it: sync what it owes now. */
  wantSync(id: ConversationId): void;
  markRead(id: ConversationId, sequence: Sequence): void;
  setTyping(id: ConversationId): void;
  /** Own settings of a conversation: shown at once, told the server as soon as it can be. */
  setMine(id: ConversationId, patch: MyPatch): void;
  /** Something of it is subscribed to, or no longer: until then it lives. */
  watch(conversation: object, by: 1 | -1): void;
  timelineOpened(timeline: OpenTimeline, id: ConversationId): void;
  timelineClosed(timeline: OpenTimeline): void;
}

export interface MyPatch {
  readonly notify?: 'all' | 'mentions' | 'none';
  readonly muteUntilMs?: number;
  readonly markedUnread?: boolean;
}
