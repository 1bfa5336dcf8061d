/** Judges a world that has ended: the chat checker, and what only the world knows. */
import { check } from '../checker/chat-checker.ts';
import type { HistoryEvent } from '../checker/history.ts';
import {
  mayHaveSeen,
  messagesOf,
  unreadOf,
  type TrueConversation,
  type TrueMessage,
} from './final-log.ts';
import type { Listed } from './evidence.ts';
import type { World } from './world.ts';
import { count, object, text, type Json } from './wire.ts';

export interface Evidence {
  readonly world: World;
  /** Everything, read before and after the last power cut. */
  readonly before: readonly TrueConversation[];
  readonly after: readonly TrueConversation[];
  readonly listed: readonly Listed[];
  readonly directories: ReadonlyMap<string, ReadonlySet<string>>;
}

export function judge(evidence: Evidence): void {
  const { world, before, after } = evidence;
  const logs = new Map(after.map((log) => [log.id, log]));
  const events = world.events.filter((event) => !isDeletedAgain(event, world, logs));
  const verdict = check({ events, finals: [...before, ...after] });
  for (const { promise, text: what } of verdict.violations) {
    // The device takes a row beyond the next for a gap, whichever comes first.
    if (promise === 'reader-skips' && world.faults.haveLinksBroken) continue;
    world.broken(`${promise}: ${what}`);
  }
  judgeSeen(world, logs);
  judgeDevices(world, logs);
  judgeDirectories(evidence);
  for (const listed of evidence.listed) judgeListed(world, listed);
}

/** To delete what is deleted changes nothing and answers with the first deletion (CONTRACT §5). */
function isDeletedAgain(
  event: HistoryEvent,
  world: World,
  logs: ReadonlyMap<string, TrueConversation>,
): boolean {
  if (event.is !== 'committed') return false;
  const sent = world.events.find((one) => one.is === 'invoked' && one.op === event.op);
  if (sent?.is !== 'invoked') return false;
  const row = logs.get(sent.conversation)?.rows[event.sequence - 1];
  if (row === undefined || row.clientMessageId === sent.clientMessageId) return false;
  return 'delete' in row.body && row.content === sent.content;
}

/** Whether some member's device lacks rows, or his marks are behind what his devices reported. */
export function isBehind(world: World, log: TrueConversation): boolean {
  return world.devices.some((device) => {
    const member = log.members.get(device.userId);
    const known = device.conversations.get(log.id);
    if (member?.isMember !== true) return known?.isMember === true;
    if (known?.isMember !== true || known.cursor < log.head) return true;
    return member.deliveredThrough < log.head || member.readThrough < known.read;
  });
}

/** Nobody saw what was not his, and nobody was served what was deleted before he asked. */
function judgeSeen(world: World, logs: ReadonlyMap<string, TrueConversation>): void {
  const deleted = new Map(
    world.people.deleted.map((one) => [`${one.conversation}/${one.sequence}`, one.atMs]),
  );
  for (const event of world.events) {
    if (event.is !== 'seen') continue;
    const place = `${event.conversation}/${event.sequence}`;
    const log = logs.get(event.conversation);
    if (log !== undefined && !mayHaveSeen(log, event.user, event.sequence))
      world.broken(`not his: ${event.reader} saw ${place} by ${event.from}`);
    const deletedMs = deleted.get(place);
    const isServed = event.from === 'page' && event.content !== '';
    if (isServed && deletedMs !== undefined && event.at > deletedMs)
      world.broken(`deleted-served: ${event.reader} asked for ${place} and got its text`);
  }
}

/** Every device of a member has every row that he may read, once, as it was logged. */
function judgeDevices(world: World, logs: ReadonlyMap<string, TrueConversation>): void {
  for (const device of world.devices) {
    for (const log of logs.values()) {
      const member = log.members.get(device.userId);
      const known = device.conversations.get(log.id);
      if (known?.isMember === true && member?.isMember !== true)
        world.broken(`${device.name} still believes to be in ${log.id}`);
      if (member?.isMember !== true) continue;
      if (known?.isMember !== true) {
        world.broken(`${device.name} does not know that it is in ${log.id}`);
        continue;
      }
      if (known.cursor !== log.head)
        world.broken(`${device.name} is at ${known.cursor} of ${log.head} in ${log.id}`);
      for (const [sequence, row] of known.rows) {
        const truth = log.rows[sequence - 1];
        const isSame =
          truth !== undefined &&
          truth.clientMessageId === row.clientMessageId &&
          (truth.content === row.content || truth.content === '' || row.content === '');
        if (!isSame) world.broken(`${device.name} holds another row at ${log.id}/${sequence}`);
      }
      if (member.deliveredThrough < log.head)
        world.broken(
          `${log.id}: ${device.name} has all of ${log.head}, delivered says ${member.deliveredThrough}`,
        );
      if (member.readThrough < known.read)
        world.broken(
          `${log.id}: ${device.name} read ${known.read}, read says ${member.readThrough}`,
        );
    }
  }
}

function judgeDirectories({ world, after, directories }: Evidence): void {
  for (const [userId, open] of directories) {
    for (const log of after) {
      const isMember = log.members.get(userId)?.isMember === true;
      if (isMember !== open.has(log.id))
        world.broken(
          `the directory of ${userId} ${isMember ? 'lacks' : 'still has'} ${log.kind} ${log.id}`,
        );
    }
  }
}

/** Counts are exact, and messages stand as the log makes them stand. */
function judgeListed(world: World, { userId, log, view, messages }: Listed): void {
  const me = object(view['me']);
  const readThrough = count(me['readThrough']);
  const expected = unreadOf(log, userId, readThrough);
  if (count(me['unreadCount']) !== expected)
    world.broken(
      `${log.id}: ${userId} has ${count(me['unreadCount'])} unread above ${readThrough}, must be ${expected}`,
    );
  if (count(view['head']) !== log.head)
    world.broken(`${log.id}: ${userId} is shown head ${count(view['head'])}, is ${log.head}`);
  const countable = log.rows.filter(({ isCountable }) => isCountable).length;
  if (count(view['messageCount']) !== countable)
    world.broken(`${log.id}: ${count(view['messageCount'])} messages counted, are ${countable}`);
  const truth = messagesOf(log);
  for (const message of messages) {
    const sequence = count(message['sequence']);
    // Rows of the server itself stand in the timeline too.
    if (log.rows[sequence - 1]?.server === true) continue;
    const problem = differs(message, truth.get(sequence));
    if (problem !== '')
      world.broken(`${log.id}/${sequence} stands wrong for ${userId}: ${problem}`);
  }
}

function differs(message: Json, truth: TrueMessage | undefined): string {
  if (truth === undefined) return 'it is no message';
  const said = text(object(object(object(message['content'])['message'])['text'])['body']);
  if ((message['deleted'] === true) !== truth.isDeleted)
    return truth.isDeleted ? 'it was deleted' : 'it was not deleted';
  if (truth.isDeleted) return said === '' ? '' : 'its text was deleted';
  if (said !== truth.text && truth.text !== '')
    return `text "${said.slice(0, 20)}" is not the last`;
  if (count(message['editCount']) !== truth.editCount)
    return `edited ${count(message['editCount'])} times, must be ${truth.editCount}`;
  return '';
}
