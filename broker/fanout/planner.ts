/**
 * From one applied entry to frames: members → routes → one frame per gateway that carries the row
 * once, with the handles of those who get it. Runs where the leader runs, right after `apply`.
 *
 * Order that a session may rely on: to whom a row opens a membership, the whole conversation goes
 * before the row; who is removed hears `removed` and gets neither that row nor a later one.
 */
import { ByteWriter } from '../../core/bytes.ts';
import { encodeReceipts, type ReceiptsPayload } from '../../core/link-payload.ts';
import { invariant } from '../../core/invariant.ts';
import { RECORD, type RecordKind } from '../../core/record.ts';
import { ROW_FLAG, RowView } from '../../core/row.ts';
import type {
  ConversationView,
  MembershipChange,
  RegisterChange,
} from '../conversation/contract.ts';
import type { Outlet, Route, Routes } from './routes.ts';

/** parley.v1.Conversation as this user sees it; undefined = nothing that he may see. */
export type RenderConversation = (
  view: ConversationView,
  user: Uint8Array,
) => Uint8Array | undefined;

export interface PlannerOptions {
  readonly routes: Routes;
  readonly render: RenderConversation;
  /** Groups of this size get heads where unfocused; gateways are told by a flag. */
  readonly headsMembersMin: number;
}

/** Where an entry stands: the frames about it carry this. */
export interface Place {
  readonly shard: number;
  readonly epoch: number;
}

const GROUP_LARGE = 1;
const FOLLOWED = 2;
const NOBODY: ReadonlySet<Outlet> = new Set();
const REMOVED = 1;
const COUNT_IN_PAYLOAD = 0xffff;

export class Planner {
  readonly #routes: Routes;
  readonly #render: RenderConversation;
  readonly #headsMembersMin: number;
  /** Outlets that the plan under way touched. */
  readonly #outlets: Outlet[] = [];
  /** The sender of the plan under way, who never counts as queued. */
  #sender: Uint8Array = new Uint8Array(0);
  #queued = 0;
  readonly #gatherOne: (user: Uint8Array) => undefined;
  readonly #countOne: (user: Uint8Array) => undefined;

  constructor(options: PlannerOptions) {
    this.#routes = options.routes;
    this.#render = options.render;
    this.#headsMembersMin = options.headsMembersMin;
    this.#gatherOne = this.#gatherMember.bind(this);
    this.#countOne = this.#countMember.bind(this);
  }

  /**
   * Gathers who gets a row of this conversation: every present member, the sender's own devices
   * included. Returns how many but the sender have no route. `deliver` must follow.
   */
  gather(view: ConversationView, sender: Uint8Array): number {
    invariant(this.#outlets.length === 0, 'fanout.one-plan-at-a-time');
    this.#sender = sender;
    this.#queued = 0;
    view.eachMember(this.#gatherOne);
    for (const outlet of this.#routes.followers(view.conversation) ?? NOBODY)
      if (!this.#outlets.includes(outlet)) this.#outlets.push(outlet);
    return this.#queued;
  }

  /** Sends the row to whom `gather` found: one frame an outlet. */
  deliver(place: Place, view: ConversationView, row: Uint8Array): void {
    const size = view.memberCount >= this.#headsMembersMin ? GROUP_LARGE : 0;
    const followers = this.#routes.followers(view.conversation);
    for (const outlet of this.#outlets) {
      const handles = outlet.planned;
      const flags = size | (followers?.has(outlet) === true ? FOLLOWED : 0);
      if (outlet.isWritable) {
        const bytes = 4 + 4 * handles.length + row.length;
        const header = {
          kind: RECORD.row,
          flags,
          shard: place.shard,
          count: Math.min(handles.length, COUNT_IN_PAYLOAD),
          extra: place.epoch,
          position: view.head,
          id: view.conversation,
        };
        const at = writeHandles(outlet, outlet.out.begin(header, bytes), handles);
        outlet.out.slab.bytes.set(row, at);
      } else outlet.missed(place.shard);
      handles.length = 0;
    }
    this.#outlets.length = 0;
  }

  /** Present members but the sender without a route anywhere. */
  queued(view: ConversationView, sender: Uint8Array): number {
    this.#sender = sender;
    this.#queued = 0;
    view.eachMember(this.#countOne);
    return this.#queued;
  }

  /** Before the row: whom it makes a member gets the whole conversation, whom it removes the end. */
  memberships(place: Place, view: ConversationView, changes: readonly MembershipChange[]): void {
    for (const change of changes) {
      if (change.joined) this.conversation(place, view, change.user);
      else this.#removed(place, view.conversation, change.user);
    }
  }

  /** Before the row, in groups that get heads: who is mentioned must learn of the mention. */
  mentioned(place: Place, view: ConversationView, row: Uint8Array): void {
    if (view.memberCount < this.#headsMembersMin) return;
    const read = new RowView(row);
    if (read.has(ROW_FLAG.mentionAll)) {
      this.resource(place, view);
      return;
    }
    const mentions = read.mentions;
    for (let at = 0; at < mentions.length; at += 16) {
      const user = mentions.subarray(at, at + 16);
      if (view.membership(user) === 'member') this.conversation(place, view, user);
    }
  }

  /** The whole conversation to every present member who has a route. */
  resource(place: Place, view: ConversationView): void {
    view.eachMember((user) => {
      this.conversation(place, view, user);
      return true;
    });
  }

  /** The whole conversation as this user sees it, to his routes. */
  conversation(place: Place, view: ConversationView, user: Uint8Array): void {
    const routes = this.#routes.of(user);
    if (routes === undefined) return;
    const rendered = this.#render(view, user);
    if (rendered === undefined) return;
    this.#each(place, routes, ({ outlet, handle }) => {
      const { shard, epoch: extra } = place;
      outlet.out.write(
        { kind: RECORD.conversation, handle, shard, extra, id: view.conversation },
        rendered,
      );
    });
  }

  /** One member's marks or settings changed. */
  register(place: Place, view: ConversationView, change: RegisterChange): void {
    const { user } = change;
    if (change.what === 'settings') {
      this.conversation(place, view, user);
      return;
    }
    const me = view.me(user);
    if (me === undefined) return;
    if (this.#routes.of(user) !== undefined) {
      const { deliveredThrough, readThrough, unreadCount, mentionCount } = me;
      const { head } = view;
      this.receipts(place, view.conversation, {
        users: [user],
        payload: { is: 'me', deliveredThrough, readThrough, unreadCount, mentionCount, head },
      });
    }
    if (view.kind === 'direct') this.#tellPeer(place, view, user);
  }

  /** Receipts to all routes of some users, one frame an outlet. */
  receipts(
    place: Place,
    conversation: Uint8Array,
    told: { readonly users: readonly Uint8Array[]; readonly payload: ReceiptsPayload },
  ): void {
    invariant(this.#outlets.length === 0, 'fanout.one-plan-at-a-time');
    for (const user of told.users) this.#gatherRoutes(this.#routes.of(user));
    if (this.#outlets.length === 0) return;
    const out = new ByteWriter(64);
    encodeReceipts(told.payload, out);
    this.#send(RECORD.receipts, place, conversation, out.finish());
  }

  /** Typing: the plan of a row without the log. To present members but the one who types. */
  typing(
    place: Place,
    view: ConversationView,
    typed: { readonly user: Uint8Array; readonly state: number },
  ): void {
    if (view.membership(typed.user) !== 'member') return;
    view.eachMember((user) => {
      if (!isSame(user, typed.user)) this.#gatherRoutes(this.#routes.of(user));
      return true;
    });
    const payload = new Uint8Array(17);
    payload.set(typed.user);
    payload[16] = typed.state;
    this.#send(RECORD.typingOut, place, view.conversation, payload);
  }

  /** An entry of a user's account log that his connected devices must hear of. */
  account(place: Place, user: Uint8Array, payload: Uint8Array): void {
    this.#each(place, this.#routes.of(user) ?? [], ({ outlet, handle }) => {
      outlet.out.write(
        { kind: RECORD.account, handle, shard: place.shard, extra: place.epoch, id: user },
        payload,
      );
    });
  }

  #tellPeer(place: Place, view: ConversationView, user: Uint8Array): void {
    const peer = view.peer(user);
    const marks = view.member(user);
    if (peer === undefined || marks === undefined || isSame(peer, user)) return;
    if (this.#routes.of(peer) === undefined) return;
    const { deliveredThrough, readThrough } = marks;
    const timeMs = Math.max(marks.deliveredTimeMs, marks.readTimeMs);
    this.receipts(place, view.conversation, {
      users: [peer],
      payload: { is: 'peer', user, deliveredThrough, readThrough, timeMs },
    });
  }

  #removed(place: Place, conversation: Uint8Array, user: Uint8Array): void {
    this.#each(place, this.#routes.of(user) ?? [], ({ outlet, handle }) => {
      const { shard, epoch: extra } = place;
      outlet.out.begin(
        { kind: RECORD.conversation, flags: REMOVED, handle, shard, extra, id: conversation },
        0,
      );
    });
  }

  #each(place: Place, routes: readonly Route[], send: (route: Route) => void): void {
    for (const route of routes) {
      if (route.outlet.isWritable) send(route);
      else route.outlet.missed(place.shard);
    }
  }

  /** The payload behind the handles of the plan under way, which ends with it. */
  #send(kind: RecordKind, place: Place, id: Uint8Array, payload: Uint8Array): void {
    for (const outlet of this.#outlets) {
      const handles = outlet.planned;
      if (outlet.isWritable) {
        const header = { kind, shard: place.shard, extra: place.epoch, id };
        const start = outlet.out.begin(header, 4 + 4 * handles.length + payload.length);
        outlet.out.slab.bytes.set(payload, writeHandles(outlet, start, handles));
      } else if (kind !== RECORD.typingOut) outlet.missed(place.shard);
      handles.length = 0;
    }
    this.#outlets.length = 0;
  }

  #gatherMember(user: Uint8Array): undefined {
    const routes = this.#routes.of(user);
    if (routes !== undefined) this.#gatherRoutes(routes);
    else if (!isSame(user, this.#sender)) this.#queued++;
  }

  #countMember(user: Uint8Array): undefined {
    if (this.#routes.of(user) === undefined && !isSame(user, this.#sender)) this.#queued++;
  }

  #gatherRoutes(routes: readonly Route[] | undefined): void {
    if (routes === undefined) return;
    for (let i = 0; i < routes.length; i++) {
      const route = routes[i];
      if (route === undefined) continue;
      const { planned } = route.outlet;
      if (planned.length === 0) this.#outlets.push(route.outlet);
      planned.push(route.handle);
    }
  }
}

/** Writes u32 n, u32 handle*; returns where the rest begins. */
function writeHandles(outlet: Outlet, start: number, handles: readonly number[]): number {
  // Records and their payloads begin 4-byte aligned.
  const { words } = outlet.out.slab;
  let word = start >>> 2;
  words[word++] = handles.length;
  for (let i = 0; i < handles.length; i++) words[word++] = handles[i] ?? 0;
  return word << 2;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  // Ids differ most in their last bytes.
  for (let i = 15; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
}
