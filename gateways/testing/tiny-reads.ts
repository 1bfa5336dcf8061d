/** For tests: what a tiny broker answers when it is asked. */
import { hex } from '../../core/bytes.ts';
import { NO_ID } from '../../core/command.ts';
import { ParleyError } from '../../core/errors.ts';
import { QUERY, QUERY_HEADER_BYTES, type QueryMethod } from '../../core/query.ts';
import { RowView } from '../../core/row.ts';
import { queryNamed } from '../methods.ts';
import {
  idsOf,
  joinIds,
  memberShape,
  messagesOf,
  rowShape,
  TINY_EPOCH,
  shownTo,
  type Shape,
  type TinyConversation,
} from './tiny-views.ts';
import type { TinyState, TinyMembership } from './tiny-state.ts';

export class TinyReads {
  /** Conversations are answered as bytes that are none, as by a store gone wrong. */
  isBroken = false;
  readonly #state: TinyState;
  readonly #isRouted: (user: Uint8Array) => boolean;

  constructor(state: TinyState, isRouted: (user: Uint8Array) => boolean) {
    this.#state = state;
    this.#isRouted = isRouted;
  }

  /** The payload of a query record in, the payload of its result out. */
  answer(number: number, payload: Uint8Array): Uint8Array {
    const method = (Object.keys(QUERY) as QueryMethod[]).find((name) => QUERY[name] === number);
    if (method === undefined) throw new ParleyError('INVARIANT', 'no such query');
    const form = queryNamed(method);
    const user = payload.slice(0, 16);
    const asked = form.input.decode(payload.slice(QUERY_HEADER_BYTES)) as unknown as Shape;
    const answer = this.#answerTo(method, asked, user);
    return form.output.encode(answer as never);
  }

  #answerTo(method: QueryMethod, asked: Shape, user: Uint8Array): Shape {
    switch (method) {
      case 'Link.Directory':
        return this.#directory(hex(user), Number(asked['sinceAccountSequence']));
      case 'Link.Changed':
        return { shards: (asked['shards'] as Shape[]).map((shard) => this.#changed(shard)) };
      case 'Link.Views':
        return {
          conversations: idsOf(asked['conversations'] as Uint8Array).flatMap<object>((raw) => {
            const c = this.#state.conversations.get(hex(raw));
            if (c?.members.has(hex(user)) !== true) return [];
            return this.isBroken ? [Uint8Array.of(255, 255)] : [shownTo(c, hex(user))];
          }),
          recent: [],
        };
      // Nobody is bounded here.
      case 'Link.Fits':
        return {};
      default:
        return this.#read(method, asked, user);
    }
  }

  #read(method: QueryMethod, asked: Shape, user: Uint8Array): Shape {
    const c = this.#state.byText(String(asked['conversationId']), user);
    const head = c.rows.length;
    switch (method) {
      case 'Conversations.Get':
        return shownTo(c, hex(user));
      case 'Messages.List':
        return { messages: messagesOf(c, asked), asOf: head, first: 1, head };
      case 'Messages.ListRows':
        return { rows: c.rows.map(rowShape), head, cursor: { epoch: TINY_EPOCH, sequence: head } };
      case 'Link.CatchUp': {
        const from = Number((asked['cursor'] as Shape)['sequence']);
        const rows = c.rows.slice(from);
        const isMuch = rows.length > Number(asked['rowsMax']);
        return {
          rows: isMuch ? [] : rows.map(rowShape),
          head,
          epoch: TINY_EPOCH,
          gapFrom: isMuch ? from + 1 : 0,
        };
      }
      case 'Sync.SyncConversation':
        return {
          messages: messagesOf(c, {}),
          conversation: shownTo(c, hex(user)),
          cursor: { epoch: TINY_EPOCH, sequence: head },
        };
      case 'Messages.ListReceipts': {
        const sequence = Number(asked['sequence']);
        const sender = hex(new RowView(c.rows[sequence - 1] ?? NO_ID).sender);
        const others = [...c.members].filter(([key]) => key !== sender).map(([, member]) => member);
        const delivered = others.filter((member) => member.delivered >= sequence).length;
        const read = others.filter((member) => member.read >= sequence).length;
        const queued = others.filter(
          (m) => m.delivered < sequence && !this.#isRouted(m.user),
        ).length;
        return { counts: { sequence, of: others.length, queued, delivered, read } };
      }
      default: {
        const wanted = asked['userIds'] as string[] | undefined;
        const members = [...c.members.values()].map(memberShape);
        return { members: members.filter((m) => wanted?.includes(m.userId) ?? true) };
      }
    }
  }

  #directory(key: string, since: number): Shape {
    const log = this.#state.account(key);
    const state = new Map<string, TinyMembership & { at: number }>();
    for (const [i, entry] of log.entries())
      state.set(hex(entry.conversation), { ...entry, at: i + 1 });
    const pick = (joined: boolean, after: number): Uint8Array =>
      joinIds(
        [...state.values()]
          .filter((e) => e.joined === joined && e.at > after)
          .map((e) => e.conversation),
      );
    return {
      open: pick(true, 0),
      joined: pick(true, since),
      left: pick(false, since),
      accountSequence: log.length,
      epoch: TINY_EPOCH,
    };
  }

  #changed(question: Shape): Shape {
    const since = Number(question['sinceIndex']);
    const shard = Number(question['shard']);
    const found = idsOf(question['conversations'] as Uint8Array)
      .map((raw) => this.#state.conversations.get(hex(raw)))
      .filter(
        (c): c is TinyConversation => c !== undefined && (since === 0 || c.lastIndex > since),
      );
    return {
      shard,
      askedAtIndex: this.#state.indexOf(shard),
      changed: joinIds(found.map((c) => c.raw)),
      changeTimeMs: found.map((c) => c.lastTimeMs),
    };
  }
}
