/** What is asked of a world at its very end, for judgement: beside the logs, what users are shown. */
import { encodeId } from '../../core/ids.ts';
import type { TrueConversation } from './final-log.ts';
import { list, object, type Json } from './wire.ts';
import type { World } from './world.ts';

/** A conversation as one of its members is shown it at the very end. */
export interface Listed {
  readonly userId: string;
  readonly log: TrueConversation;
  readonly view: Json;
  readonly messages: readonly Json[];
}

const LIST_MAX = 200;

/** Open memberships by user id, as the account logs have them. */
export async function directoriesOf(world: World): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  const { store } = world.node;
  if (store === undefined) return found;
  await world.whileTimePasses(async () => {
    for (const { user, userId } of world.users) {
      const open = (await store.reads.directory(user))?.open() ?? new Uint8Array(0);
      const ids = new Set<string>();
      for (let at = 0; at < open.length; at += 16)
        ids.add(encodeId('cnv', open.subarray(at, at + 16)));
      found.set(userId, ids);
    }
  });
  return found;
}

/** What each user gets who asks for everything anew. */
export async function listedBy(world: World, logs: readonly TrueConversation[]): Promise<Listed[]> {
  const found: Listed[] = [];
  let waiting = 0;
  for (const account of world.users) {
    const device = world.devices.find(({ userId }) => userId === account.userId);
    for (const log of logs) {
      if (device === undefined || log.members.get(account.userId)?.isMember !== true) continue;
      waiting += 2;
      const entry = { userId: account.userId, log, view: {} as Json, messages: [] as Json[] };
      found.push(entry);
      device.call('Conversations.Get', { conversationId: log.id }, (answer, reason) => {
        waiting--;
        if (answer === undefined) world.broken(`${log.id} was not shown: ${reason}`);
        entry.view = object(answer);
      });
      device.call('Messages.List', { conversationId: log.id, limit: LIST_MAX }, (answer) => {
        waiting--;
        entry.messages = [...list(object(answer)['messages'])];
      });
    }
  }
  await world.time.runUntil(world.time.nowMs + 120_000, () => waiting === 0);
  if (waiting > 0) world.broken(`${waiting} last questions were not answered`);
  return found;
}
